"""A month through Feishu's own Python SDK: the same rows from Feishu and from the gateway, and Feishu's own errors.

The addresses come from the environment, see `.ci/sdks`. Any difference ends the script with an error.
"""

import json
import os
import time
import urllib.request

import lark_oapi as lark
from lark_oapi.api.admin.v1 import ListAdminUserStatRequest
from lark_oapi.core.exception import ObtainAccessTokenException

FEISHU, GATEWAY = os.environ["SIMULATOR"], os.environ["GATEWAY"]
FIRST, LAST = os.environ["FIRST_DAY"], os.environ["LAST_DAY"]


def client(domain, app_id, app_secret="any-secret", own_tokens=False):
    # The SDK caches tokens by app id, regardless of the domain, so each address needs its own app id.
    builder = lark.Client.builder().domain(domain).app_id(app_id).app_secret(app_secret)
    return builder.enable_set_token(own_tokens).log_level(lark.LogLevel.ERROR).build()


def request(page_size=60, page_token=None):
    builder = ListAdminUserStatRequest.builder().start_date(FIRST).end_date(LAST).page_size(page_size)
    return (builder.page_token(page_token) if page_token else builder).build()


def month(sdk):
    """All rows in the order of day and person, and the seconds that it took."""
    rows, token, begin = [], None, time.monotonic()
    while True:
        reply = sdk.admin.v1.admin_user_stat.list(request(page_token=token))
        assert reply.success(), (reply.code, reply.msg, reply.get_log_id())
        rows += [as_sent(item) for item in reply.data.items or []]
        if not reply.data.has_more:
            return sorted(rows, key=lambda row: (row["date"], row["user_id"])), time.monotonic() - begin
        token = reply.data.page_token


def as_sent(item):
    # A missing time is sent as "" or omitted, by Feishu as well.
    return {name: "" if value is None else value for name, value in vars(item).items()}


def upstream_calls():
    with urllib.request.urlopen(f"{GATEWAY}/v1/coverage") as reply:
        return json.load(reply)["meta"]["upstream_calls"]["calls"]


def check_errors(sdk):
    refused = sdk.admin.v1.admin_user_stat.list(request(page_size=61))
    assert (refused.success(), refused.code, refused.raw.status_code) == (False, 1051001, 500), vars(refused)
    assert refused.msg.startswith("request contain invalid param"), refused.msg
    assert refused.get_log_id() and refused.get_log_id() == refused.error["log_id"], refused.error
    assert refused.error["field_violations"][0]["field"] == "page_size", refused.error

    option = lark.RequestOption.builder().tenant_access_token("t-made-up").build()
    stranger = client(GATEWAY, "stranger", own_tokens=True).admin.v1.admin_user_stat.list(request(), option)
    assert (stranger.code, stranger.raw.status_code) == (99991663, 400), vars(stranger)

    try:
        client(GATEWAY, "blank", " ").admin.v1.admin_user_stat.list(request())
        raise AssertionError("a blank secret got a token")
    except ObtainAccessTokenException as refusal:
        assert "10014" in str(refusal), refusal


def main():
    feishu, seconds_feishu = month(client(FEISHU, "cli_demo", "demo-secret"))
    sdk = client(GATEWAY, "python")
    cold, seconds_cold = month(sdk)
    calls = upstream_calls()
    warm, seconds_warm = month(sdk)
    assert upstream_calls() == calls, "the second time cost calls to Feishu"
    assert len(feishu) > 10_000 and cold == feishu and warm == feishu, (len(feishu), len(cold), len(warm))
    check_errors(sdk)
    took = f"{seconds_feishu:16.1f} {seconds_cold:16.1f} {seconds_warm:16.2f}"
    print(f"{'lark-oapi (Python)':34} {len(warm):7} {took}")


main()
