"""From an error of Slack's nothing leads to what was sent: neither its text, nor its attributes, nor its context."""

from collections.abc import Iterator

import pytest

from exporter.logs import Secret
from exporter.relay.slack import Posted, Slack, SlackError
from tests.support.fake_slack import TOKEN, Fault, slack_that

FAULTS = {
    "code": Fault(error="invalid_auth"),
    "token as code": Fault(error=TOKEN),
    "token behind a code": Fault(error=f"invalid_auth:{TOKEN}"),
    "token in a sentence": Fault(error=f"what is {TOKEN}?"),
    "429": Fault(status=429, retry_after=7, error="ratelimited"),
    "page": Fault(html=True),
    "500": Fault(status=500, html=True),
    "reset": Fault(cut="before"),
}


def chain(err: BaseException | None) -> Iterator[BaseException]:
    while err is not None:
        yield err
        err = err.__cause__ or err.__context__


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_error_leads_to_nothing_that_was_sent(fault: Fault) -> None:
    secret, where = Secret(TOKEN), Posted(channel="C0000000000", ts="1.1")
    with slack_that(fault) as fake:
        slack = Slack(fake.url, 2)
        for call in (
            lambda: slack.auth_test(secret),
            lambda: slack.post(secret, "#alerts", {"text": "x"}),
            lambda: slack.update(secret, where, {"text": "x"}),
        ):
            with pytest.raises(SlackError) as caught:
                call()
            for err in chain(caught.value):
                assert TOKEN not in repr((err, str(err), err.args, vars(err)))
                assert type(err).__module__.startswith("exporter."), err
