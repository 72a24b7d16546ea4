"""Calls the gateway with the two generated clients for Python. mypy checks this file against their types."""

import datetime
import os

import feishu_pulse_client
import openapi_client
from feishu_pulse_client.api.exports import activity_report_export
from feishu_pulse_client.api.reports import activity_report
from feishu_pulse_client.models.activity_list import ActivityList
from feishu_pulse_client.models.format_ import Format
from feishu_pulse_client.models.problem import Problem

GATEWAY = os.environ["GATEWAY"]


def openapi_python_client() -> None:
    # The demo has no access control and ignores the token.
    client = feishu_pulse_client.AuthenticatedClient(base_url=GATEWAY, token="any")
    report = activity_report.sync(client=client, period="7d")
    assert isinstance(report, ActivityList), report
    first = report.data[0]
    day: datetime.date = first.start_date
    active: int | None = first.active
    adoption: float | None = first.features.im.adoption
    assert len(report.data) == 7 and day and active and adoption, first
    # The bytes of a file are the content of the detailed response.
    for format, magic in [(Format.CSV, b"start_date,"), (Format.PARQUET, b"PAR1"), (Format.XLSX, b"PK")]:
        file = activity_report_export.sync_detailed(format, client=client, period="7d")
        assert file.content.startswith(magic), file
    refused = activity_report.sync(client=client, period="soon")
    assert isinstance(refused, Problem) and refused.code == "invalid_parameters", refused
    print("openapi-python-client: ok")


def openapi_generator() -> None:
    with openapi_client.ApiClient(openapi_client.Configuration(host=GATEWAY)) as client:
        reports, exports = openapi_client.ReportsApi(client), openapi_client.ExportsApi(client)
        report = reports.activity_report(period="7d")
        first = report.data[0]
        assert len(report.data) == 7 and first.active and first.features.im.adoption, first
        for format, magic in [("csv", b"start_date,"), ("parquet", b"PAR1"), ("xlsx", b"PK")]:
            file = exports.activity_report_export(format=openapi_client.Format(format), period="7d")
            assert bytes(file).startswith(magic), file
        try:
            reports.activity_report(period="soon")
        except openapi_client.exceptions.BadRequestException as refused:
            assert refused.data is not None and refused.data.code == "invalid_parameters", refused
        else:
            raise AssertionError("a faulty parameter is accepted")
    print("openapi-generator python: ok")


openapi_python_client()
openapi_generator()
