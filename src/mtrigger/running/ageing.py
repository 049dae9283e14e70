"""How old a delivery is, which decides when it is given up. Pure but for the clock.

Promise: nothing grows old while it is held back: outside its rule's hours, while the rule is paused, before
what is to be told first. It does while it is tried, while its destination is down, and while others of its
lane are before it, so that nobody holds up a lane for ever.
"""

from dataclasses import replace
from datetime import UTC, datetime

from mtrigger.deliveries import Delivery
from mtrigger.gates import Wishes
from mtrigger.gates.hours import open_for
from mtrigger.rules import Rule
from mtrigger.supervision import steady_time


def let_go(delivery: Delivery, wishes: Wishes) -> Delivery:
    """`delivery`, which is handed out, held back until its rule was resumed, if that was last."""
    resumed = wishes.resumed.get(delivery.rule)
    if resumed is None or resumed <= (delivery.held_until or delivery.created_at):
        return delivery
    return replace(delivery, held_until=resumed)


def age(rule: Rule, delivery: Delivery) -> float:
    """How many seconds `delivery` has been owed since nothing holds it back any more: what was held over a
    weekend is not given up when the first attempt on Monday fails."""
    begun = delivery.created_at
    if delivery.held_until is not None:
        begun = max(begun, delivery.held_until)
    seconds, active = steady_time.seconds_since(begun), rule.active
    if active is None or active.otherwise != "hold":
        return seconds
    return min(seconds, open_for(active, datetime.now(UTC)))
