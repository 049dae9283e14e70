"""The examples, with every part killed in turn while orders and costs keep coming.

Nothing is lost, topics hold no message twice, and each group has the messages of each key in their order.
"""

from acceptance.stories.big_orders import CONNECTIONS, BigOrders
from acceptance.stories.enduring import endure
from acceptance.stories.parts import MONGODB
from acceptance.stories.pricing import Pricing
from support.command import MtriggerCommand
from support.smtp_sink import SmtpSink


async def test_big_orders_reach_everybody_whatever_is_killed(
    mtrigger_command: MtriggerCommand, smtp_sink: SmtpSink
) -> None:
    """From a table of PostgreSQL to mails, sums and credit checks."""
    async with BigOrders.told(mtrigger_command, smtp_sink, seed=1) as story:
        await endure(story, ("source", "watch", "credit check 1", MONGODB, CONNECTIONS, "credit check 2"))
        story.parts.end()
        assert await story.judge() == []


async def test_prices_follow_costs_whatever_is_killed(mtrigger_command: MtriggerCommand) -> None:
    """From the cost of a product to the web shop and the analysts."""
    async with Pricing.told(mtrigger_command, seed=1) as story:
        await endure(story, ("watch", "analytics 1", MONGODB, "analytics 2", "watch"))
        story.parts.end()
        assert await story.judge() == []
