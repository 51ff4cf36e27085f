"""metadata.managedFields: each manager's name, and the fields it set last."""

from __future__ import annotations

from tests.contract.objects import config_map, deployment
from tests.contract.servers import Server


async def test_each_manager_and_its_fields(server: Server, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    await server.done("POST", path, deployment(), fieldManager="kubectl-create")
    await server.patch(f"{path}/web", {"spec": {"replicas": 4}}, fieldManager="scaler")
    body = await server.patch(f"{path}/web/status", {"status": {"replicas": 4}}, fieldManager="ctl")

    managed = {each["manager"]: each for each in body["metadata"]["managedFields"]}
    assert set(managed) == {"kubectl-create", "scaler", "ctl"}
    created, scaled, status = managed["kubectl-create"], managed["scaler"], managed["ctl"]
    assert list(scaled) == ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"]
    assert list(status) == ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource"]
    assert scaled["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert (status["subresource"], status["fieldsV1"]) == ("status", {"f:status": {"f:replicas": {}}})
    assert created["fieldsV1"] == {
        "f:spec": {
            "f:progressDeadlineSeconds": {},
            "f:revisionHistoryLimit": {},
            "f:selector": {},
            "f:strategy": {
                "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}},
                "f:type": {},
            },
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {
                            ".": {},
                            "f:image": {},
                            "f:imagePullPolicy": {},
                            "f:name": {},
                            "f:resources": {},
                            "f:terminationMessagePath": {},
                            "f:terminationMessagePolicy": {},
                        }
                    },
                    "f:dnsPolicy": {},
                    "f:restartPolicy": {},
                    "f:schedulerName": {},
                    "f:securityContext": {},
                    "f:terminationGracePeriodSeconds": {},
                },
            },
        }
    }


async def test_the_user_agent_is_the_manager_where_none_is_named(server: Server, namespace: str) -> None:
    body = await server.done("POST", f"/api/v1/namespaces/{namespace}/configmaps", config_map("a", labels={"x": "y"}))

    (managed,) = body["metadata"]["managedFields"]
    assert managed["manager"] == "tests"
    assert managed["fieldsV1"] == {
        "f:data": {".": {}, "f:a": {}},
        "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
    }
