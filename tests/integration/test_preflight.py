"""Looking at the deployment before and while rules run."""

from mtrigger.deployment.connecting import connect
from mtrigger.deployment.preflight import findings, survey
from support.recording import rule_on


async def test_a_deployment_that_does_not_answer_is_no_reason_to_stop(nowhere: str) -> None:
    """Rules may be reloaded during an outage: then nothing is said about collections, and nothing ends."""
    rules = [rule_on("shop.orders", when="before.amount > 5")]
    async with connect(nowhere) as client:
        found = await survey(client, rules)

    assert found is None
    assert findings(rules, found, None) == []
