"""A MongoDB server of our own: `mongod` as a one-member replica set on the loopback interface.

For the demo, for `watch` without `--uri`, and for the tests. The promises:

* The server never outlives the process that started it, not even after `kill -9`; even then it stops cleanly.
* Ctrl-C in the terminal does not reach it: it stops when `stop` is called.
* A data folder is kept and can be used again, on another port and after a crash; it serves one at a time.

It listens on 127.0.0.1 without a password, so every user of this machine can reach it.
"""

from mtrigger.embedded.binary import find_mongod
from mtrigger.embedded.data_folder import default_data_folder
from mtrigger.embedded.server import REPLICA_SET, EmbeddedServer, running_uri

__all__ = ["REPLICA_SET", "EmbeddedServer", "default_data_folder", "find_mongod", "running_uri"]
