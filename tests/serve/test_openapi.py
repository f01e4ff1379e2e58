"""The OpenAPI document: the API is fuzzed from it, and tried out on the page that shows it."""

from collections import Counter
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from playwright.sync_api import BrowserContext, expect
from schemathesis import checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

NEIGHBOURS = {"bundles", "docs", "openapi.json", "problems"}  # beside bundles' names: other operations answer there
DOCUMENT = "/api/v1/openapi.json"
CONFORMANCE = (
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@schemathesis.serializer("application/x-npy")
def as_it_is(_: object, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_whatever_is_asked_the_answer_is_a_documented_one(server: Any, mode: schemathesis.GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}{DOCUMENT}")
    statuses: Counter[int] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        if not operation.definition.raw.keys() & {"parameters", "requestBody"}:
            assert operation.Case().call_and_validate(checks=CONFORMANCE).status_code == 200
            continue

        @given(operation.as_strategy(generation_mode=mode))
        @settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
        def ask(case: schemathesis.Case) -> None:
            assume(not {*(case.path_parameters or {}).values()} & NEIGHBOURS)
            statuses[case.call_and_validate(checks=CONFORMANCE).status_code] += 1

        ask()
    assert statuses[200] > 30 if mode is schemathesis.GenerationMode.POSITIVE else statuses[422] > 50


def test_document(http: httpx.Client) -> None:
    document = http.get(DOCUMENT).json()
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]

    assert document["servers"] == [{"url": "/"}]
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert answer["content"].keys() == {"application/problem+json"}
    assert len({operation["operationId"] for operation in operations}) == len(operations) == 20
    face = document["paths"]["/api/v1/{bundle}/faces/{seed}.{suffix}"]["get"]
    parameters = {parameter["name"]: parameter for parameter in face["parameters"]}
    schemas = document["components"]["schemas"]
    assert parameters["bundle"]["schema"] == {"$ref": "#/components/schemas/BundleName"}
    assert schemas["BundleName"]["enum"] == ["tiny", "plain", "told"]
    assert schemas["AttributeName"]["enum"] == ["eyeglasses", "male", "smiling"]
    assert parameters["with"]["explode"] is False
    assert set(schemas["Strengths"]["properties"]) == {"smiling", "eyeglasses", "principal_1"}


def test_examples_run_on_the_docs_page(server: Any, context: BrowserContext) -> None:
    page = context.new_page()
    problems: list[str] = []
    elsewhere: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: elsewhere.append(request.url))
    page.goto(f"{server.url}/api/v1/docs")

    for operation in ("face", "random_face", "many_faces", "interpolation_as_file", "bundles", "metrics"):
        block = page.locator(f".opblock[id$='-{operation}']")
        block.locator(".opblock-summary").click()
        block.locator(".try-out__btn").click()
        block.locator(".execute").click()
        expect(block.locator(".live-responses-table tbody .response-col_status")).to_contain_text("200")
        if operation in ("face", "random_face", "interpolation_as_file"):
            picture = block.locator(".live-responses-table img")
            expect(picture).to_be_visible()
            assert picture.evaluate("image => image.naturalWidth") == 150
        block.locator(".opblock-summary").click()

    assert problems == []
    assert [url for url in elsewhere if not url.removeprefix("blob:").startswith((server.url, "data:"))] == []
