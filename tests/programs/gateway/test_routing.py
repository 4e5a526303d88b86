"""Which host leads where, what is refused however it is spelled, and what the servers behind are told."""

from __future__ import annotations

import json
import ssl
import subprocess

import pytest
import requests

from tests.programs.database.programs import eventually
from tests.programs.gateway.traefik import Traefik
from tests.programs.gateway.upstream import Upstream

_METRICS = [
    "/metrics", "/metrics/", "/metrics?x", "/metrics/x", "//metrics", "///metrics", "/./metrics", "/x/../metrics",
    "/%6detrics", "/%6Detric%73", "/Metrics", "/x/%2e%2e/metrics", "/.%2e/metrics", "/x%2f..%2fmetrics",
    "/x/..%2fmetrics", "/%2fmetrics", "/%2Fmetrics", "/%5cmetrics", "/\\metrics", "/x\\..\\metrics", "/metrics;a",
    "/metrics%3b", "/metrics%3fx", "/metrics%23", "/metrics%20", "/metrics%00", "/metrics%0a", "/metrics.json",
    "/%252e%252e/metrics", "http://mlflow.localhost/metrics", "https://mlflow.localhost:443//metrics",
]  # fmt: skip
_CLOSED = [
    "/ajax-api/3.0/jobs", "/ajax-api/3.0/jobs/search", "/ajax-api//3.0/./jobs", "/ajax-api/3%2e0/jobs",
    "/ajax-api%2f3.0%2Fjobs/x", "/AJAX-API/3.0/jobs", "/gateway/x/mlflow/invocations", "/%67ateway/x",
    "/ajax-api/2.0/mlflow/gateway-proxy", "/ajax-api/3.0/mlflow/assistant/message",
]  # fmt: skip
_TRAVERSALS = [
    "/api/2.0/mlflow-artifacts/artifacts/..%2f..%2fetc/passwd", "/a%2f..", "/a%5c..%5cb", "/a\\..\\b", "/a%252e%252e/b",
    "/a/%252f", "/a%25252e", "/a%00b",
]  # fmt: skip
_MALFORMED = ["\\metrics", "metrics", "/\tmetrics", "/ metrics", "/x/#/../metrics"]
_LEGITIMATE = {
    "/": "/",
    "/api/2.0/mlflow/metrics/get-history?run_id=..%2f": "/api/2.0/mlflow/metrics/get-history",
    "/metricsX": "/metricsX",
    "/my/metrics": "/my/metrics",
    "/metrics-of-mine": "/metrics-of-mine",
    "/api/3.0/mlflow/mcp-servers/io.github%2fserver/tags": "/api/3.0/mlflow/mcp-servers/io.github/server/tags",
    "/artifacts/a%20b%23c%3fd%25e%3b.txt": "/artifacts/a b#c?d%e;.txt",
    "/a..b/..c/d..": "/a..b/..c/d..",
    "/caf%C3%A9": "/café",
    "/v1/traces": "/v1/traces",
}


@pytest.mark.parametrize("target", _METRICS)
@pytest.mark.parametrize("host", ["mlflow", "models"])
def test_metrics_are_not_reached_from_outside_however_they_are_spelled(
    traefik: Traefik, upstreams: dict[str, Upstream], host: str, target: str
) -> None:
    before = len(upstreams[host].seen)
    target = target.replace("mlflow.", f"{host}.")

    assert traefik.raw(f"{host}.localhost", target)[0] == 403
    assert upstreams[host].seen[before:] == []


@pytest.mark.parametrize("target", [*_CLOSED, *_TRAVERSALS])
def test_what_upstream_forgot_to_protect_is_closed(
    traefik: Traefik, upstreams: dict[str, Upstream], target: str
) -> None:
    before = len(upstreams["mlflow"].seen)

    for method in ("GET", "POST"):
        assert traefik.raw("mlflow.localhost", target, "Content-Length: 0", method=method)[0] == 403
    assert upstreams["mlflow"].seen[before:] == []


@pytest.mark.parametrize("target", _MALFORMED)
def test_what_is_no_request_goes_no_further(traefik: Traefik, target: str) -> None:
    assert traefik.raw("mlflow.localhost", target)[0] == 400


@pytest.mark.parametrize(("target", "path"), _LEGITIMATE.items())
def test_every_other_path_arrives_as_it_was_sent(traefik: Traefik, target: str, path: str) -> None:
    status, body = traefik.raw("mlflow.localhost", target)

    assert (status, json.loads(body)["path"]) == (200, path)


def test_a_host_leads_to_its_service_and_keeps_its_name(traefik: Traefik) -> None:
    for name in ("mlflow", "models"):
        told = traefik.get(name).json()
        assert (told["name"], told["headers"]["host"]) == (name, f"{name}.localhost:{traefik.https}")


def test_http_leads_to_https_on_the_public_port(traefik: Traefik) -> None:
    found = requests.get(f"http://mlflow.localhost:{traefik.http}/a/b?c=d", allow_redirects=False, timeout=30)

    assert (found.status_code, found.headers["location"]) == (301, f"{traefik.url('mlflow', '/a/b?c=d')}")


def test_the_domain_itself_leads_to_mlflow(traefik: Traefik) -> None:
    found = requests.get(
        f"https://localhost:{traefik.https}/a?b=c", verify=traefik.ca, allow_redirects=False, timeout=30
    )

    assert (found.status_code, found.headers["location"]) == (302, traefik.url("mlflow", "/a?b=c"))


def test_an_unknown_host_is_not_found(traefik: Traefik) -> None:
    assert traefik.raw("evil.example.org", "/", sni="mlflow.localhost")[0] == 404
    assert traefik.raw("mlflow.localhost.evil.org", "/", sni="mlflow.localhost")[0] == 404


@pytest.mark.parametrize("name", ["evil.example.org", None])
def test_who_asks_for_another_name_sees_no_certificate(traefik: Traefik, name: str | None) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        traefik.connect(name)


def test_old_tls_is_refused(traefik: Traefik) -> None:
    command = ["curl", "-s", "--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", "--cacert", traefik.ca]
    done = subprocess.run([*command, traefik.url("mlflow")], capture_output=True, check=False)

    assert done.returncode == 35


def test_curl_and_requests_verify_the_certificate_by_the_authority(traefik: Traefik) -> None:
    for host in ("mlflow", "models"):
        subprocess.run(["curl", "-fsS", "--cacert", traefik.ca, traefik.url(host)], capture_output=True, check=True)
        assert traefik.get(host).status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(traefik.url("mlflow"), timeout=30)


def test_what_a_client_says_of_itself_is_not_believed(traefik: Traefik) -> None:
    lies = {
        "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "1",
        "X-Forwarded-Server": "evil", "X-Forwarded-Prefix": "/evil", "X-Real-Ip": "6.6.6.6", "Forwarded": "for=6.6.6.6",
        "X-Forwarded-User": "admin",
    }  # fmt: skip

    told = traefik.get("mlflow", **lies).json()["headers"]

    assert (told["x-forwarded-for"], told["x-real-ip"]) == ("127.0.0.1", "127.0.0.1")
    assert (told["x-forwarded-proto"], told["x-forwarded-port"]) == ("https", str(traefik.https))
    assert told["x-forwarded-host"] == f"mlflow.localhost:{traefik.https}"
    assert not {"forwarded", "x-forwarded-prefix", "x-forwarded-user"} & set(told)
    assert "evil" not in json.dumps(told)


def test_answers_carry_security_headers_and_no_promise_that_our_own_authority_could_break(traefik: Traefik) -> None:
    headers = traefik.get("mlflow").headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert "strict-transport-security" not in headers


def test_searches_are_packed_and_artifacts_are_not(traefik: Traefik) -> None:
    packed = traefik.get("mlflow", "/api/2.0/mlflow/runs/search", Accept_Encoding="gzip")
    plain = traefik.get("mlflow", "/api/2.0/mlflow-artifacts/artifacts/big.json", Accept_Encoding="gzip")

    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.json()) == 5001
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-length"] == str(len(plain.content))


def test_the_access_log_has_a_line_a_request_and_never_a_password(traefik: Traefik) -> None:
    secret = "Basic c2VjcmV0OnBhc3N3b3Jk"

    traefik.get("mlflow", "/logged?x=1", Authorization=secret, Cookie="session=c2VjcmV0", X_Api_Key=secret)

    eventually(lambda: any(line["RequestPath"] == "/logged?x=1" for line in traefik.lines()))
    line = next(line for line in traefik.lines() if line["RequestPath"] == "/logged?x=1")
    assert (line["RequestMethod"], line["DownstreamStatus"], line["RequestHost"]) == ("GET", 200, "mlflow.localhost")
    assert line["Duration"] > 0
    assert "c2VjcmV0" not in traefik.log.read_text()


def test_the_gateways_own_health_check_passes(traefik: Traefik) -> None:
    assert traefik.probe() == 0


def test_nothing_is_wrong_in_its_log(traefik: Traefik) -> None:
    wrong = [line for line in traefik.log.read_text().splitlines() if '"level":"error"' in line or " ERR " in line]

    assert (wrong, traefik.errors.read_text()) == ([], "")
