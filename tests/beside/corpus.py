"""The requests that are put to both servers: tables of paths, forms and parameters, and what they are combined to.

A case's name is its line in the tables, so that a failure tells what was asked. ``$name`` in a target stands for a
resourceVersion that is known when it is asked (pair.py: ``one``, ``two``, ``ahead``), or a continue token of RV 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, urlsplit

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def transformed(kind: str, version: str = "v1", group: str = "meta.k8s.io") -> str:
    return f"{JSON};as={kind};v={version};g={group}"


TABLE = transformed("Table")
PARTIAL = transformed("PartialObjectMetadata")
PARTIAL_LIST = transformed("PartialObjectMetadataList")
AGGREGATED = transformed("APIGroupDiscoveryList", "v2", "apidiscovery.k8s.io")
AGGREGATED_BETA = transformed("APIGroupDiscoveryList", "v2beta1", "apidiscovery.k8s.io")
# What the newest kubectl sends with `get`.
KUBECTL = f"{TABLE},{transformed('Table', 'v1beta1')},{JSON}"


@dataclass(frozen=True)
class Case:
    """One request. accept: None sends no such header."""

    name: str
    target: str
    method: str = "GET"
    accept: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def sent(self) -> dict[str, str]:
        return {**({"Accept": self.accept} if self.accept is not None else {}), **self.headers}

    @property
    def theirs(self) -> dict[str, str]:
        """What the API server is asked: it speaks protobuf too, where a mirror goes on to the next clause."""
        if self.accept is None or PROTOBUF not in self.accept:
            return self.sent
        spoken = ",".join(clause for clause in self.accept.split(",") if PROTOBUF not in clause)
        return {**self.sent, "Accept": spoken}

    @property
    def any_version(self) -> bool:
        """Whether a LIST so asked tells a resourceVersion that depends on how much a server has heard."""
        query = parse_qs(urlsplit(self.target).query)
        limited = "limit" in query and query.get("resourceVersionMatch") != ["NotOlderThan"]
        exact = query.get("resourceVersionMatch") == ["Exact"] or limited or "continue" in query
        return query.get("resourceVersion", ["0"])[0] in ("0", "") or not exact


# -- tables -----------------------------------------------------------------------------------------------

A = "/namespaces/team-a"
B = "/namespaces/team-b"
APPS = "/apis/apps/v1"
WIDGETS = "/apis/example.dev/v1"
HEAVY = f"{APPS}{B}/controllerrevisions"
CROWD = f"/apis/coordination.k8s.io/v1{B}/leases"
DEPLOYMENTS = f"{APPS}{A}/deployments"
CONFIGMAPS = f"/api/v1{B}/configmaps"

# Each resource: the path of a collection, and an object in it.
OBJECTS: dict[str, tuple[str, str]] = {
    "namespaces": ("/api/v1/namespaces", "team-a"),
    "nodes": ("/api/v1/nodes", "cordoned"),
    "pods": (f"/api/v1{B}/pods", "bare"),
    "services": (f"/api/v1{A}/services", "web"),
    "configmaps": (f"/api/v1{A}/configmaps", "a.b-c.9"),
    "serviceaccounts": (f"/api/v1{A}/serviceaccounts", "robot"),
    "endpoints": (f"/api/v1{A}/endpoints", "web"),
    "events": (f"/api/v1{A}/events", "web.1"),
    "events.events": (f"/apis/events.k8s.io/v1{A}/events", "web.2"),
    "resourcequotas": ("/api/v1/namespaces/empty/resourcequotas", "quota"),
    "limitranges": ("/api/v1/namespaces/empty/limitranges", "limits"),
    "persistentvolumes": ("/api/v1/persistentvolumes", "disk"),
    "persistentvolumeclaims": (f"/api/v1{A}/persistentvolumeclaims", "data"),
    "replicationcontrollers": (f"/api/v1{A}/replicationcontrollers", "old"),
    "podtemplates": (f"/api/v1{A}/podtemplates", "template"),
    "deployments": (DEPLOYMENTS, "web"),
    "statefulsets": (f"{APPS}{A}/statefulsets", "db"),
    "daemonsets": (f"{APPS}{A}/daemonsets", "agent"),
    "controllerrevisions": (f"{APPS}{A}/controllerrevisions", "db-1"),
    "jobs": (f"/apis/batch/v1{A}/jobs", "once"),
    "cronjobs": (f"/apis/batch/v1{A}/cronjobs", "nightly"),
    "horizontalpodautoscalers": (f"/apis/autoscaling/v2{A}/horizontalpodautoscalers", "web"),
    "poddisruptionbudgets": (f"/apis/policy/v1{A}/poddisruptionbudgets", "web"),
    "ingresses": (f"/apis/networking.k8s.io/v1{A}/ingresses", "front"),
    "ingressclasses": ("/apis/networking.k8s.io/v1/ingressclasses", "nginx"),
    "networkpolicies": (f"/apis/networking.k8s.io/v1{A}/networkpolicies", "deny"),
    "endpointslices": (f"/apis/discovery.k8s.io/v1{A}/endpointslices", "web-1"),
    "storageclasses": ("/apis/storage.k8s.io/v1/storageclasses", "fast"),
    "csidrivers": ("/apis/storage.k8s.io/v1/csidrivers", "disk.example.dev"),
    "priorityclasses": ("/apis/scheduling.k8s.io/v1/priorityclasses", "high"),
    "runtimeclasses": ("/apis/node.k8s.io/v1/runtimeclasses", "sandbox"),
    "clusterroles": ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "example:reader"),
    "clusterrolebindings": ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "example:readers"),
    "roles": (f"/apis/rbac.authorization.k8s.io/v1{A}/roles", "editor"),
    "rolebindings": (f"/apis/rbac.authorization.k8s.io/v1{A}/rolebindings", "editors"),
    "webhooks": ("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", "check"),
    "definitions": ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "widgets.example.dev"),
    "apiservices": ("/apis/apiregistration.k8s.io/v1/apiservices", "v1.apps"),
    "flowschemas": ("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", "exempt"),
    "widgets": (f"{WIDGETS}{A}/widgets", "first"),
    "widgets v1beta1": (f"/apis/example.dev/v1beta1{B}/widgets", "1.odd-name"),
    "widgets v1alpha1": (f"/apis/example.dev/v1alpha1{A}/widgets", "bare"),
    "planets": (f"{WIDGETS}/planets", "mars"),
    "hooked": (f"/apis/other.example.dev/v2{A}/hooked", "one"),
}

# And those of which there is little or nothing to see: an empty Table has its columns too.
LISTED: dict[str, str] = {
    "csinodes": "/apis/storage.k8s.io/v1/csinodes",
    "csistoragecapacities": "/apis/storage.k8s.io/v1/csistoragecapacities",
    "volumeattachments": "/apis/storage.k8s.io/v1/volumeattachments",
    "volumeattributesclasses": "/apis/storage.k8s.io/v1/volumeattributesclasses",
    "certificatesigningrequests": "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    "mutatingwebhooks": "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "admissionpolicies": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "admissionpolicybindings": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "ipaddresses": "/apis/networking.k8s.io/v1/ipaddresses",
    "servicecidrs": "/apis/networking.k8s.io/v1/servicecidrs",
    "prioritylevels": "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
    "resourceclaims": "/apis/resource.k8s.io/v1/resourceclaims",
    "resourceslices": "/apis/resource.k8s.io/v1/resourceslices",
    "deviceclasses": "/apis/resource.k8s.io/v1/deviceclasses",
    "all pods": "/api/v1/pods",
    "all events": "/api/v1/events",
    "all replicasets": f"{APPS}/replicasets",
    "all nodes": "/api/v1/nodes",
    "all clusterroles": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "all definitions": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}

# Collections of every kind of path.
COLLECTIONS: dict[str, str] = {
    "all namespaces": f"{APPS}/deployments",
    "one namespace": DEPLOYMENTS,
    "empty namespace": f"{APPS}/namespaces/empty/deployments",
    "no such namespace": f"{APPS}/namespaces/nowhere/deployments",
    "replicasets": f"{APPS}{A}/replicasets",
    "pods": "/api/v1/pods",
    "custom, all namespaces": f"{WIDGETS}/widgets",
    "custom, empty": f"{WIDGETS}/namespaces/empty/widgets",
    "custom, cluster": f"{WIDGETS}/planets",
    "large": CONFIGMAPS,
}

LIST_FORMS: dict[str, str | None] = {
    "json": JSON,
    "Table": TABLE,
    "partial": PARTIAL_LIST,
    "yaml": YAML,
}
OBJECT_FORMS: dict[str, str | None] = {
    "json": JSON,
    "Table": TABLE,
    "partial": PARTIAL,
    "yaml": YAML,
}

# How Accept is read: asked of a list, of an object, and of their like among custom resources.
ACCEPTS: dict[str, str | None] = {
    "none": None,
    "empty": "",
    "any": "*/*",
    "any application": "application/*",
    "any text": "text/*",
    "star": "*",
    "html": "text/html",
    "browser": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "json or any": "application/json, */*",
    "charset": "application/json; charset=utf-8",
    "upper case": "APPLICATION/JSON",
    "spaces": "  application/json  ;  as=Table ; v=v1 ; g=meta.k8s.io ",
    "two by q": "application/json;q=0.1, application/yaml;q=0.9",
    "q 0": "application/json;q=0",
    "typed client": f"{PROTOBUF},{JSON}",
    "controller-runtime": f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{PARTIAL},{JSON}",
    "kubectl": KUBECTL,
    "old kubectl": f"{transformed('Table', 'v1beta1')}, {JSON}",
    "Table v1beta1": transformed("Table", "v1beta1"),
    "Table v2": transformed("Table", "v2"),
    "Table of another group": transformed("Table", "v1", "example.dev"),
    "Table without version": f"{JSON};as=Table;g=meta.k8s.io",
    "Table, quoted": f'{JSON};as="Table";v="v1";g="meta.k8s.io"',
    "only as": f"{JSON};as=Table",
    "only version": f"{JSON};v=v1",
    "only group": f"{JSON};g=meta.k8s.io",
    "unknown as": transformed("Nonsense"),
    "unknown as, then json": f"{transformed('Nonsense')},{JSON}",
    "partial": PARTIAL,
    "partial v1beta1": transformed("PartialObjectMetadata", "v1beta1"),
    "partial list": PARTIAL_LIST,
    "partial list v1beta1": transformed("PartialObjectMetadataList", "v1beta1"),
    "partial yaml": f"{YAML};as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "Table yaml": f"{YAML};as=Table;v=v1;g=meta.k8s.io",
    "pretty": f"{JSON};pretty=1",
    "pretty 0": f"{JSON};pretty=0",
    "unknown parameter": f"{JSON};drop=metadata.managedFields",
    "stream": f"{JSON};stream=watch",
    "junk": "junk",
    "junk, then json": "junk,;;/,application/json",
    "cbor": "application/cbor",
    "aggregated discovery": AGGREGATED,
}

# What a LIST may be asked for; the cases of reference to a state, paging and selecting.
LISTS: dict[str, str] = {
    "rv empty": "resourceVersion=",
    "rv 0": "resourceVersion=0",
    "rv 00": "resourceVersion=00",
    "rv 1": "resourceVersion=1",
    "rv one": "resourceVersion=$one",
    "rv with zeros": "resourceVersion=00$two",
    "rv junk": "resourceVersion=abc",
    "rv negative": "resourceVersion=-1",
    "rv too large": "resourceVersion=99999999999999999999999",
    "rv twice": "resourceVersion=0&resourceVersion=abc",
    "exact one": "resourceVersion=$one&resourceVersionMatch=Exact",
    "exact two": "resourceVersion=$two&resourceVersionMatch=Exact",
    "exact compacted": "resourceVersion=1&resourceVersionMatch=Exact",
    "exact 0": "resourceVersion=0&resourceVersionMatch=Exact",
    "exact unset": "resourceVersionMatch=Exact",
    "exact junk": "resourceVersion=x&resourceVersionMatch=Exact",
    "not older": "resourceVersion=$two&resourceVersionMatch=NotOlderThan",
    "not older than 0": "resourceVersion=0&resourceVersionMatch=NotOlderThan",
    "not older, unset": "resourceVersionMatch=NotOlderThan",
    "unknown match": "resourceVersion=$two&resourceVersionMatch=Roughly",
    "unknown match, unset": "resourceVersionMatch=Roughly",
    "limit": "limit=2",
    "limit and rv 0": "limit=2&resourceVersion=0",
    "limit and rv": "limit=2&resourceVersion=$two",
    "limit and rv compacted": "limit=2&resourceVersion=1",
    "limit and exact": "limit=2&resourceVersion=$one&resourceVersionMatch=Exact",
    "limit and not older": "limit=2&resourceVersion=$one&resourceVersionMatch=NotOlderThan",
    "limit and not older than 0": "limit=2&resourceVersion=0&resourceVersionMatch=NotOlderThan",
    "limit 1": "limit=1",
    "limit 0": "limit=0",
    "limit -1": "limit=-1",
    "limit huge": "limit=9223372036854775807",
    "limit beyond int64": "limit=9223372036854775808",
    "limit junk": "limit=ten",
    "limit empty": "limit=",
    "limit bare": "limit",
    "limit with sign": "limit=%2B2",
    "limit 1.5": "limit=1.5",
    "limit 0x2": "limit=0x2",
    "limit and selector": "limit=1&labelSelector=app",
    "continue junk": "continue=junk",
    "continue not base64": "continue=%21%21",
    "continue of another version": "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjIiLCJydiI6MSwic3RhcnQiOiJhIn0",
    "continue without rv": "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJzdGFydCI6ImEifQ",
    "continue without start": "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0",
    "continue up": "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiLi4vLi4vIn0",
    "continue compacted": "continue=$token",
    "continue and rv": "continue=$token&resourceVersion=$two",
    "continue and exact": "continue=$token&resourceVersion=$two&resourceVersionMatch=Exact",
    "continue and match": "continue=$token&resourceVersionMatch=NotOlderThan",
    "sendInitialEvents": "sendInitialEvents=true",
    "sendInitialEvents and match": "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0",
    "sendInitialEvents false": "sendInitialEvents=false",
    "watch false": "watch=false",
    "watch 0": "watch=0",
    "watch False": "watch=False",
    "allowWatchBookmarks": "allowWatchBookmarks=true",
    "timeout": "timeout=32s",
    "timeout junk": "timeout=soon",
    "timeout without unit": "timeout=32",
    "timeout bad unit": "timeout=1x",
    "timeout negative": "timeout=-1s",
    "timeout empty": "timeout=",
    "timeoutSeconds": "timeoutSeconds=5",
    "timeoutSeconds junk": "timeoutSeconds=soon",
    "unknown parameter": "frobnicate=1&x[y]=z",
    "semicolon": "limit=1;x=1",
    "bad escape": "labelSelector=%zz",
    "plus": "labelSelector=app+in+(web)",
    "pretty": "pretty=true",
    "pretty false": "pretty=false",
    "pretty junk": "pretty=maybe",
    "shardSelector": "shardSelector=x",
    "includeObject ignored": "includeObject=Object",
    "two faults": "limit=x&resourceVersion=abc",
    "faulty selector and match": "labelSelector=a%3D%3D%3Db&resourceVersionMatch=Roughly",
    "faulty selector and timeout": "labelSelector=%2C%2C&timeout=soon",
}

# What a WATCH is refused for, or ends with at once; ``timeoutSeconds=1`` is asked too where it says nothing of it.
WATCHES: dict[str, str] = {
    "rv junk": "resourceVersion=abc",
    "rv negative": "resourceVersion=-1",
    "rv beyond uint64": "resourceVersion=99999999999999999999999",
    "rv too old": "resourceVersion=1",
    "continue": "continue=$token",
    "continue and rv": "continue=$token&resourceVersion=$two",
    "continue junk": "continue=junk&resourceVersion=$two",
    "limit junk": "limit=ten",
    "match exact": "resourceVersion=$two&resourceVersionMatch=Exact",
    "match not older": "resourceVersion=$two&resourceVersionMatch=NotOlderThan",
    "match not older, unset": "resourceVersionMatch=NotOlderThan",
    "match unknown": "resourceVersion=$two&resourceVersionMatch=Roughly",
    "initial without match": "sendInitialEvents=true",
    "initial false without match": "sendInitialEvents=false&resourceVersion=$two",
    "initial and exact": "sendInitialEvents=true&resourceVersion=$two&resourceVersionMatch=Exact",
    "initial and continue": "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=$token",
    "initial and unknown match": "sendInitialEvents=true&resourceVersionMatch=Roughly",
    "initial, ahead": "sendInitialEvents=1&resourceVersionMatch=NotOlderThan&resourceVersion=$ahead&timeoutSeconds=9",
    "label junk": "labelSelector=a%3D%3D%3Db",
    "field junk": "fieldSelector=x",
    "field unsupported": "fieldSelector=bogus%3D1",
    "timeoutSeconds junk": "timeoutSeconds=soon",
    "timeoutSeconds too large": "timeoutSeconds=99999999999999999999",
    "timeout junk": "timeout=soon&resourceVersion=1",
    "bookmarks junk": "allowWatchBookmarks=maybe&resourceVersion=1",
    "selector before match": "labelSelector=%2C%2C&resourceVersionMatch=Exact",
    "rv before match": "resourceVersion=abc&resourceVersionMatch=Exact",
    "rv before selector": "resourceVersion=abc&labelSelector=%2C%2C",
    "pretty error": "pretty=true&resourceVersion=abc",
    "pretty": "pretty=true&resourceVersion=1",
}
WATCH_ACCEPTS: dict[str, str | None] = {
    "none": None,
    "yaml": YAML,
    "html": "text/html",
    "any": "*/*",
    "stream": f"{JSON};stream=watch",
    "yaml or json": f"{YAML},{JSON}",
    "Table": TABLE,
    "Table v1beta1": transformed("Table", "v1beta1"),
    "Table v2": transformed("Table", "v2"),
    "Table yaml": f"{YAML};as=Table;v=v1;g=meta.k8s.io",
    "partial": PARTIAL,
    "partial list": PARTIAL_LIST,
    "unknown as": transformed("Nonsense"),
    "cbor": "application/cbor-seq",
}
WATCH_PATHS: dict[str, tuple[str, str]] = {
    "no such resource": ("GET", f"{APPS}{A}/nothings?watch=1"),
    "no such custom resource": ("GET", f"{WIDGETS}{A}/nothings?watch=1"),
    "no such version": ("GET", f"/apis/apps/v9{A}/deployments?watch=1"),
    "no such namespace": ("GET", f"{APPS}/namespaces/nowhere/deployments?watch=1&timeoutSeconds=1"),
    "old path, no such resource": ("GET", f"{APPS}/watch{A}/nothings"),
    "old path, named twice": ("GET", f"{APPS}/watch{A}/deployments/web?fieldSelector=metadata.name%3Didle"),
    "old path, watch=0": ("GET", f"{APPS}/watch{A}/deployments?watch=0&resourceVersion=1"),
    "old path, rv junk": ("GET", f"{APPS}/watch{A}/deployments/web?resourceVersion=abc"),
    "old path, subresource": ("GET", f"{APPS}/watch{A}/deployments/web/status"),
    "old path, custom subresource": ("GET", f"{WIDGETS}/watch{A}/widgets/first/status"),
    "old path, no such custom subresource": ("GET", f"{WIDGETS}/watch{A}/widgets/first/frobnicate"),
    "old path, no such custom resource": ("GET", f"{WIDGETS}/watch{A}/nothings"),
    "old path, nobody": ("GET", f"{WIDGETS}/watch{A}/widgets/nobody?timeoutSeconds=1"),
    "HEAD": ("HEAD", f"{DEPLOYMENTS}?watch=1&resourceVersion=1"),
    "HEAD of an old path": ("HEAD", f"{APPS}/watch{A}/deployments?resourceVersion=1"),
    "HEAD, custom": ("HEAD", f"{WIDGETS}{A}/widgets?watch=1&resourceVersion=1"),
    "POST to an old path": ("POST", f"{APPS}/watch{A}/deployments"),
    "includeObject": ("GET", f"{DEPLOYMENTS}?watch=1&resourceVersion=1&includeObject=Nonsense"),
    "bare": ("GET", f"{DEPLOYMENTS}?watch&resourceVersion=1"),
    "empty": ("GET", f"{DEPLOYMENTS}?watch=&resourceVersion=1"),
    "junk": ("GET", f"{DEPLOYMENTS}?watch=perhaps&resourceVersion=1"),
    "twice": ("GET", f"{DEPLOYMENTS}?watch=1&watch=0&resourceVersion=1"),
}

LABELS: tuple[str, ...] = (
    "app=web", "app==web", "app!=web", "app in (web,idle)", "app notin (web)", "app", "!app", "track", "app=",
    "app in ()", "app in (web", "n>4", "n<4", "n>x", "n > 4", "a=b=c", "app=web,track=stable", "app=web,,track",
    ",", ",app", "app,", "", " ", "in", "notin", "in in (in)", "app in", "!", "!!app", "app !", "=", "==", "=web",
    "app = web", " app=web ", "app in (web,,idle)", "app in (,)", "app in (web idle)", "(app)", "app)", "a/b/c=d",
    "/a=b", "a/=b", "example.dev/owner=me", "EXAMPLE.dev/a", "ex_ample/a", "-a", "a-", "a b", "app=-x",
    "app=" + "x" * 64, "x" * 64, "x" * 254 + "/a", "app=ü", "app='web'", "app=\"web\"", "app\t=\nweb", "app>1,app<3",
    "app>1.5", "app>=1", "app<>1", "app=>1", "app in (web)track", "at in (1,2,3),odd", "app!web", "app in(web)",
    "app notin", "a..b=c", "a.b/c", "a.b/c=", "n=5,n!=3", "odd=1,at!=3",
)  # fmt: skip

FIELDS: dict[str, tuple[str, ...]] = {
    DEPLOYMENTS: (
        "metadata.name=web",
        "metadata.name==web",
        "metadata.name!=web",
        "metadata.namespace=team-a",
        "metadata.namespace=team-b",
        "metadata.name=nobody",
        "spec.replicas=1",
        "metadata.labels=x",
        "x",
        "=",
        "==x",
        "=x",
        "metadata.name=web,metadata.namespace=team-a",
        "metadata.name=web,",
        ",",
        ",,metadata.name=web",
        "",
        "metadata.name=a\\,b",
        "metadata.name=a\\b",
        "metadata.name=a\\",
        "metadata.name=a=b",
        "metadata.name",
        "metadata.name=web,metadata.name=idle",
        "metadata.name in (web)",
        "!metadata.name",
        "metadata.name!web",
        "metadata.name = web",
        "metadata.NAME=web",
        "b=1,a=2",
        "ü=1",
        "metadata.name=web,bogus=1",
    ),
    "/api/v1/pods": (
        "spec.nodeName=cordoned",
        "spec.nodeName=",
        "spec.nodeName!=",
        "spec.restartPolicy=OnFailure",
        "spec.schedulerName=nobody",
        "spec.serviceAccountName=default",
        "spec.hostNetwork=true",
        "spec.hostNetwork=false",
        "status.phase=Running",
        "status.phase!=Running",
        "status.podIP=10.1.0.7",
        "status.podIPs=10.1.0.7",
        "status.podIPs=",
        "status.nominatedNodeName=",
        "spec.host=cordoned",
        "bogus=1",
        "metadata.uid=1",
        "status.phase=Running,spec.nodeName=cordoned",
    ),
    "/api/v1/namespaces": (
        "status.phase=Active",
        "metadata.name=team-a",
        "metadata.namespace=team-a",
        "name=team-a",
        "bogus=1",
    ),
    "/api/v1/nodes": ("spec.unschedulable=true", "spec.unschedulable=false", "metadata.namespace=x", "bogus=1"),
    "/api/v1/services": ("spec.clusterIP=None", "spec.type=ExternalName", "spec.type!=ClusterIP", "bogus=1"),
    "/api/v1/events": (
        "involvedObject.kind=Deployment",
        "involvedObject.namespace=team-a",
        "involvedObject.name=web",
        "involvedObject.uid=1",
        "involvedObject.apiVersion=apps/v1",
        "involvedObject.resourceVersion=1",
        "involvedObject.fieldPath=spec",
        "reason=Scaled",
        "reportingComponent=",
        "source=deployment-controller",
        "type=Warning",
        "type!=Warning",
        "action=x",
        "bogus=1",
    ),
    "/apis/events.k8s.io/v1/events": (
        "reason=Done",
        "regarding.kind=Pod",
        "involvedObject.kind=Pod",
        "reportingController=example.dev/controller",
        "source=x",
        "reportingComponent=x",
        "type=Warning",
        "bogus=1",
    ),
    "/apis/batch/v1/jobs": ("status.successful=2", "status.successful=0", "metadata.name=once", "bogus=1"),
    "/apis/batch/v1/cronjobs": ("metadata.name=nightly", "bogus=1"),
    "/api/v1/replicationcontrollers": ("status.replicas=0", "bogus=1"),
    f"{APPS}/replicasets": ("status.replicas=0", "metadata.namespace=team-a"),
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": (
        "metadata.name=widgets.example.dev",
        "metadata.namespace=x",
        "bogus=1",
    ),
    "/apis/certificates.k8s.io/v1/certificatesigningrequests": ("spec.signerName=x", "metadata.namespace=x", "bogus=1"),
    "/apis/rbac.authorization.k8s.io/v1/clusterroles": (
        "metadata.name=example:reader",
        "metadata.namespace=x",
        "bogus=1",
    ),
    "/apis/resource.k8s.io/v1/resourceslices": ("spec.nodeName=x", "spec.driver=x", "spec.pool=x"),
    "/apis/storage.k8s.io/v1/storageclasses": ("metadata.namespace=x", "bogus=1"),
    f"/api/v1{A}/configmaps": ("metadata.name=a.b-c.9", "data=x"),
    f"/api/v1{A}/serviceaccounts": ("bogus=1",),
    "/apis/networking.k8s.io/v1/ingresses": ("bogus=1",),
    f"{WIDGETS}/widgets": (
        "spec.color=red",
        "spec.color!=red",
        "spec.color=",
        "spec.size=3",
        "spec.size=0",
        "spec.size=",
        "spec.on=true",
        "spec.on=false",
        "spec.shape=round",
        ".spec.color=red",
        "bogus=1",
        "metadata.namespace=team-a",
        "spec.color=a\\,b\\=c\\\\d",
        "spec.color=red,spec.size=3",
        "spec.weight=1.5",
    ),
    "/apis/example.dev/v1beta1/widgets": ("spec.color=red", "spec.shape=round"),
    f"{WIDGETS}/planets": ("metadata.name=mars", "metadata.namespace=x", "moons=2"),
}

PATHS: dict[str, str] = {
    "no such object": f"{DEPLOYMENTS}/nobody",
    "no such custom object": f"{WIDGETS}{A}/widgets/nobody",
    "no such cluster-scoped object": "/api/v1/nodes/nobody",
    "no such custom cluster-scoped object": f"{WIDGETS}/planets/nobody",
    "object in no namespace": f"{APPS}/namespaces/nowhere/deployments/web",
    "no such resource": f"{APPS}{A}/nothings",
    "no such resource in core": "/api/v1/nothings",
    "no such custom resource": f"{WIDGETS}{A}/nothings",
    "no such version": f"/apis/apps/v2{A}/deployments",
    "no such core version": "/api/v2/pods",
    "no such custom version": f"/apis/example.dev/v9{A}/widgets",
    "custom version not served": f"/apis/example.dev/v0{A}/widgets",
    "no such group": f"/apis/nothing.example.dev/v1{A}/things",
    "no such group, object": f"/apis/nothing.example.dev/v1{A}/things/one",
    "namespaced object without a namespace": f"{APPS}/deployments/web",
    "custom namespaced object without a namespace": f"{WIDGETS}/widgets/first",
    "cluster-scoped in a namespace": f"/api/v1{A}/nodes",
    "cluster-scoped object in a namespace": f"/api/v1{A}/nodes/cordoned",
    "custom cluster-scoped in a namespace": f"{WIDGETS}{A}/planets",
    "custom cluster-scoped object in a namespace": f"{WIDGETS}{A}/planets/mars",
    "persistent volume in a namespace": f"/api/v1{A}/persistentvolumes/disk",
    "status": f"{DEPLOYMENTS}/web/status",
    "status of nobody": f"{DEPLOYMENTS}/nobody/status",
    "status of a namespace": "/api/v1/namespaces/team-a/status",
    "status of a pod": f"/api/v1{B}/pods/bare/status",
    "status of a node": "/api/v1/nodes/cordoned/status",
    "status of a definition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.dev/status",
    "status of a custom object": f"{WIDGETS}{A}/widgets/first/status",
    "status of nobody, custom": f"{WIDGETS}{A}/widgets/nobody/status",
    "status where there is none": f"/api/v1{A}/configmaps/held/status",
    "status where the version has none": f"/apis/example.dev/v1beta1{A}/widgets/first/status",
    "status where the custom resource has none": f"{WIDGETS}/planets/mars/status",
    "finalize of a namespace": "/api/v1/namespaces/team-a/finalize",
    "namespace called status": "/api/v1/namespaces/status",
    "status of the namespace called status": "/api/v1/namespaces/status/status",
    "in the namespace called status": "/api/v1/namespaces/status/configmaps",
    "no such subresource": f"{DEPLOYMENTS}/web/frobnicate",
    "no such custom subresource": f"{WIDGETS}{A}/widgets/first/frobnicate",
    "below a subresource": f"{DEPLOYMENTS}/web/status/more",
    "below a custom subresource": f"{WIDGETS}{A}/widgets/first/status/more",
    "trailing slash, list": f"{DEPLOYMENTS}/",
    "trailing slash, object": f"{DEPLOYMENTS}/web/",
    "trailing slash, status": f"{DEPLOYMENTS}/web/status/",
    "trailing slash, custom list": f"{WIDGETS}{A}/widgets/",
    "trailing slash, custom object": f"{WIDGETS}{A}/widgets/first/",
    "two trailing slashes": f"{DEPLOYMENTS}//",
    "doubled slash before the name": f"{DEPLOYMENTS}//web",
    "doubled slash before the resource": f"{APPS}{A}//deployments",
    "doubled slash before the group": f"/apis//apps/v1{A}/deployments",
    "doubled slash, custom": f"{WIDGETS}{A}//widgets",
    "doubled slash before the custom name": f"{WIDGETS}{A}/widgets//first",
    "empty namespace": f"{APPS}/namespaces//deployments",
    "empty namespace, custom": f"{WIDGETS}/namespaces//widgets",
    "dot as a name": f"{DEPLOYMENTS}/.",
    "dots as a name": f"{DEPLOYMENTS}/..",
    "encoded dots as a name": f"{DEPLOYMENTS}/%2e%2e",
    "dots as a custom name": f"{WIDGETS}{A}/widgets/..",
    "percent in a name": f"{DEPLOYMENTS}/a%25b",
    "percent in a custom name": f"{WIDGETS}{A}/widgets/a%25b",
    "space in a name": f"{DEPLOYMENTS}/a%20b",
    "upper case name": f"{DEPLOYMENTS}/WEB",
    "unicode name": f"{DEPLOYMENTS}/w%C3%A9b",
    "long name": f"{DEPLOYMENTS}/{'x' * 300}",
    "encoded letters": f"{APPS}{A}/%64eployments/%77eb",
    "colon in a name": "/apis/rbac.authorization.k8s.io/v1/clusterroles/example%3Areader",
    "colon in a name, not encoded": "/apis/rbac.authorization.k8s.io/v1/clusterroles/example:reader",
    "upper case resource": f"{APPS}{A}/Deployments",
    "singular": f"{APPS}{A}/deployment",
    "short name": f"{APPS}{A}/deploy",
    "question mark only": f"{DEPLOYMENTS}/web?",
    "namespaces of a group": f"{APPS}/namespaces",
    "namespace of a group": f"{APPS}/namespaces/team-a",
    "namespace of a custom group": f"{WIDGETS}/namespaces/team-a",
    "name and field selector": f"{DEPLOYMENTS}/web?fieldSelector=metadata.name%3Didle",
    "name and label selector": f"{DEPLOYMENTS}/web?labelSelector=bogus%3D%3D%3D",
    "name and limit": f"{DEPLOYMENTS}/web?limit=x",
    "name and watch": f"{DEPLOYMENTS}/web?watch=1",
    "custom name and watch": f"{WIDGETS}{A}/widgets/first?watch=1",
    "name and watch false": f"{DEPLOYMENTS}/web?watch=false",
    "name and export": f"{DEPLOYMENTS}/web?export=true",
    "custom name and export": f"{WIDGETS}{A}/widgets/first?export=true",
    "name and export empty": f"{DEPLOYMENTS}/web?export=",
    "name and pretty": f"{DEPLOYMENTS}/web?pretty=true",
    "name and pretty 0": f"{DEPLOYMENTS}/web?pretty=0",
    "custom name and pretty": f"{WIDGETS}{A}/widgets/first?pretty=true",
    "error and pretty": f"{DEPLOYMENTS}/nobody?pretty=true",
    "name and timeout": f"{DEPLOYMENTS}/web?timeout=x",
    "name and rv": f"{DEPLOYMENTS}/web?resourceVersion=$one",
    "name and rv 0": f"{DEPLOYMENTS}/web?resourceVersion=0",
    "name and rv 1": f"{DEPLOYMENTS}/web?resourceVersion=1",
    "name and rv junk": f"{DEPLOYMENTS}/web?resourceVersion=abc",
    "name and rv negative": f"{DEPLOYMENTS}/web?resourceVersion=-1",
    "custom name and rv junk": f"{WIDGETS}{A}/widgets/first?resourceVersion=abc",
    "nobody and rv junk": f"{DEPLOYMENTS}/nobody?resourceVersion=abc",
    "name and match": f"{DEPLOYMENTS}/web?resourceVersion=$one&resourceVersionMatch=Exact",
    "name and includeObject": f"{DEPLOYMENTS}/web?includeObject=Nothing",
    "status and watch": f"{DEPLOYMENTS}/web/status?watch=1",
    "definitions by name": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/nobody.example.dev",
    "webhook's other version": f"/apis/other.example.dev/v2{A}/hooked/nobody",
    "root": "/apis/",
    "core root with a slash": "/api/",
    "core version with a slash": "/api/v1/",
    "group": "/apis/apps",
    "group with a slash": "/apis/apps/",
    "group version with a slash": "/apis/apps/v1/",
    "custom group": "/apis/example.dev",
    "custom group with a slash": "/apis/example.dev/",
    "custom group version": "/apis/example.dev/v1",
    "custom group version, deprecated": "/apis/example.dev/v1beta1",
    "no such group, alone": "/apis/nothing.example.dev",
    "no such group version": "/apis/nothing.example.dev/v1",
    "no such version of a group": "/apis/apps/v9",
    "no such version of a custom group": "/apis/example.dev/v9",
    "no such core version, alone": "/api/v9",
    "junk below api": "/api/v1/namespaces/team-a/",
    "version": "/version",
    "version with a slash": "/version/",
    "version, more": "/version/more",
    "openapi": "/openapi",
    "openapi nonsense": "/openapi/v4",
    "openapi v3 of nothing": "/openapi/v3/apis/nothing.example.dev/v1",
}

METHODS: dict[str, tuple[str, str]] = {
    "HEAD of a list": ("HEAD", DEPLOYMENTS),
    "HEAD of an object": ("HEAD", f"{DEPLOYMENTS}/web"),
    "HEAD of a custom list": ("HEAD", f"{WIDGETS}{A}/widgets"),
    "HEAD of a custom object": ("HEAD", f"{WIDGETS}{A}/widgets/first"),
    "HEAD of no custom object": ("HEAD", f"{WIDGETS}{A}/widgets/nobody"),
    "HEAD of a custom status": ("HEAD", f"{WIDGETS}{A}/widgets/first/status"),
    "HEAD of no resource": ("HEAD", f"{APPS}{A}/nothings"),
    "HEAD of no group": ("HEAD", "/apis/nothing.example.dev/v1/things"),
    "HEAD of api": ("HEAD", "/api"),
    "HEAD of apis": ("HEAD", "/apis"),
    "HEAD of a group": ("HEAD", "/apis/apps"),
    "HEAD of a group version": ("HEAD", "/apis/apps/v1"),
    "HEAD of a custom group": ("HEAD", "/apis/example.dev"),
    "HEAD of a custom group version": ("HEAD", "/apis/example.dev/v1"),
    "HEAD of core": ("HEAD", "/api/v1"),
    "HEAD of version": ("HEAD", "/version"),
    "HEAD of openapi v2": ("HEAD", "/openapi/v2"),
    "HEAD of openapi v3": ("HEAD", "/openapi/v3"),
    "OPTIONS of a list": ("OPTIONS", DEPLOYMENTS),
    "OPTIONS of an object": ("OPTIONS", f"{DEPLOYMENTS}/web"),
    "OPTIONS of a custom object": ("OPTIONS", f"{WIDGETS}{A}/widgets/first"),
    "OPTIONS of apis": ("OPTIONS", "/apis"),
    "OPTIONS of api": ("OPTIONS", "/api"),
    "TRACE": ("TRACE", f"{DEPLOYMENTS}/web"),
    # Below: refused by the API server too, for the method does not exist on that path.
    "POST to an object": ("POST", f"{DEPLOYMENTS}/web"),
    "POST to all namespaces": ("POST", f"{APPS}/deployments"),
    "PUT to a list": ("PUT", DEPLOYMENTS),
    "PATCH of a list": ("PATCH", DEPLOYMENTS),
    "DELETE of all namespaces": ("DELETE", "/api/v1/namespaces"),
    "POST to a status": ("POST", f"{DEPLOYMENTS}/web/status"),
    "DELETE of a status": ("DELETE", f"{DEPLOYMENTS}/web/status"),
    "POST to a custom status": ("POST", f"{WIDGETS}{A}/widgets/first/status"),
    "DELETE of a custom status": ("DELETE", f"{WIDGETS}{A}/widgets/first/status"),
    "POST to no resource": ("POST", f"{APPS}{A}/nothings"),
    "POST to apis": ("POST", "/apis"),
    "POST to api": ("POST", "/api"),
    "POST to a group": ("POST", "/apis/apps"),
    "POST to a group version": ("POST", "/apis/apps/v1"),
    "POST to a custom group version": ("POST", "/apis/example.dev/v1"),
    "POST to version": ("POST", "/version"),
    "POST to openapi v3": ("POST", "/openapi/v3"),
    "POST to no group": ("POST", "/apis/nothing.example.dev/v1/things"),
    "DELETE of a group version": ("DELETE", "/apis/apps/v1"),
    "GET of an eviction": ("GET", f"/api/v1{B}/pods/bare/eviction"),
    "GET of a binding": ("GET", f"/api/v1{B}/pods/bare/binding"),
    "GET of a token": ("GET", f"/api/v1{A}/serviceaccounts/robot/token"),
    "GET of a review": ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
    "PUT of a review": ("PUT", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
}  # fmt: skip

# Answered otherwise than by the API server, on purpose (docs/protocol.md): method, target, and the mirror's code.
DIFFERENT: dict[str, tuple[str, str, int]] = {
    "an encoded slash is part of a name, and no name has one": ("GET", f"{DEPLOYMENTS}/web%2Fstatus", 400),
    "the same below a definition": ("GET", f"{WIDGETS}{A}/widgets/first%2Fstatus", 400),
    "an encoded slash separates nothing": ("GET", f"{APPS}/namespaces%2Fteam-a%2Fdeployments", 404),
    "a path of dots": ("GET", f"{DEPLOYMENTS}/../deployments/web", 400),
    "dots as a namespace": ("GET", f"{APPS}/namespaces/../deployments", 400),
    "a path that is not UTF-8": ("GET", f"{DEPLOYMENTS}/%ff", 400),
    "a path with control characters": ("GET", f"{DEPLOYMENTS}/a%00b", 400),
    "a malformed escape": ("GET", f"{DEPLOYMENTS}/a%zz", 400),
    "a method that nobody knows": ("FROB", f"{DEPLOYMENTS}/web", 400),
    "two slashes at the start": ("GET", f"/{DEPLOYMENTS}", 404),
    "a write": ("POST", DEPLOYMENTS, 405),
    "a write to a custom object": ("PATCH", f"{WIDGETS}{A}/widgets/first", 405),
    "a custom write on no path of its own": ("PUT", f"{WIDGETS}{A}/widgets", 405),
    "an old watch path that names nothing": ("GET", f"{APPS}/watch", 404),
    "a scale": ("GET", f"{DEPLOYMENTS}/web/scale", 405),
    "a log": ("GET", f"/api/v1{B}/pods/bare/log", 405),
    "exec": ("POST", f"/api/v1{B}/pods/bare/exec", 405),
    "a version behind a conversion webhook": ("GET", f"/apis/other.example.dev/v1{A}/hooked", 404),
    "a version of a built-in resource that is not the preferred one": (
        "GET",
        f"/apis/autoscaling/v1{A}/horizontalpodautoscalers",
        404,
    ),
}

# Who asks, and what besides Accept is looked at.
HEADERS: dict[str, tuple[str, Mapping[str, str]]] = {
    "curl": (f"{DEPLOYMENTS}/web", {"User-Agent": "curl/8.5"}),
    "Wget": (f"{DEPLOYMENTS}/web", {"User-Agent": "Wget/1.21"}),
    "a browser": (DEPLOYMENTS, {"User-Agent": "Mozilla/5.0 (X11)"}),
    "curl, pretty=false": (f"{DEPLOYMENTS}/web?pretty=false", {"User-Agent": "curl/8.5"}),
    "curl on an error": (f"{DEPLOYMENTS}/nobody", {"User-Agent": "curl/8.5"}),
    "curl on custom": (f"{WIDGETS}{A}/widgets", {"User-Agent": "curl/8.5"}),
    "curl on apis": ("/apis", {"User-Agent": "curl/8.5"}),
    "curl on version": ("/version", {"User-Agent": "curl/8.5"}),
    "kubectl": (DEPLOYMENTS, {"User-Agent": "kubectl/v1.36.3"}),
    "gzip, large": (CONFIGMAPS, {"Accept-Encoding": "gzip"}),
    "gzip, small": (DEPLOYMENTS, {"Accept-Encoding": "gzip"}),
    "gzip, large object": (f"{CONFIGMAPS}/large", {"Accept-Encoding": "gzip"}),
    "gzip, object below the limit": (f"{CONFIGMAPS}/not-large", {"Accept-Encoding": "gzip"}),
    "gzip among others": (CONFIGMAPS, {"Accept-Encoding": "br, gzip;q=0.5, deflate"}),
    "gzip refused by q": (CONFIGMAPS, {"Accept-Encoding": "gzip;q=0"}),
    "gzip in upper case": (CONFIGMAPS, {"Accept-Encoding": "GZIP"}),
    "any encoding": (CONFIGMAPS, {"Accept-Encoding": "*"}),
    "deflate": (CONFIGMAPS, {"Accept-Encoding": "deflate"}),
    "identity": (CONFIGMAPS, {"Accept-Encoding": "identity"}),
    "gzip, large, pretty": (f"{CONFIGMAPS}?pretty=1", {"Accept-Encoding": "gzip"}),
    "heavy": (HEAVY, {}),
    "heavy, gzip": (HEAVY, {"Accept-Encoding": "gzip"}),
    "heavy, pretty": (f"{HEAVY}?pretty=true", {}),
    "heavy, pretty and gzip": (f"{HEAVY}?pretty=true", {"Accept-Encoding": "gzip"}),
    "heavy, curl": (HEAVY, {"User-Agent": "curl/8.5"}),
    "heavy, in pages": (f"{HEAVY}?limit=24", {"Accept-Encoding": "gzip"}),
    "heavy, Table with objects": (f"{HEAVY}?includeObject=Object", {"Accept": TABLE, "Accept-Encoding": "gzip"}),
    "heavy, Table": (HEAVY, {"Accept": TABLE, "Accept-Encoding": "gzip"}),
    "heavy, metadata": (HEAVY, {"Accept": PARTIAL_LIST, "Accept-Encoding": "gzip"}),
    "heavy, yaml": (HEAVY, {"Accept": YAML, "Accept-Encoding": "gzip"}),
    "crowd, gzip": (CROWD, {"Accept-Encoding": "gzip"}),
    "crowd, Table": (f"{CROWD}?limit=500", {"Accept": TABLE, "Accept-Encoding": "gzip"}),
    "crowd, Table without objects": (f"{CROWD}?includeObject=None", {"Accept": TABLE, "Accept-Encoding": "gzip"}),
    "crowd, Table with objects": (f"{CROWD}?includeObject=Object", {"Accept": TABLE, "Accept-Encoding": "gzip"}),
    "crowd, metadata": (CROWD, {"Accept": PARTIAL_LIST, "Accept-Encoding": "gzip"}),
    "gzip, custom": (f"{WIDGETS}/widgets", {"Accept-Encoding": "gzip"}),
    "gzip, large, HEAD-like range": (CONFIGMAPS, {"Range": "bytes=0-10"}),
    "If-None-Match": (DEPLOYMENTS, {"If-None-Match": "*"}),
    "Origin": (DEPLOYMENTS, {"Origin": "https://example.dev"}),
    "lower case bearer": (DEPLOYMENTS, {"Authorization": "bearer admin-token"}),
    "Content-Type on GET": (DEPLOYMENTS, {"Content-Type": "application/x-nonsense"}),
}


# -- combined ---------------------------------------------------------------------------------------------


def with_query(path: str, query: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{query}"


def watch_cases() -> Iterator[Case]:
    """Watches that end by themselves, soon."""
    for words, query in WATCHES.items():
        seconds = "" if "timeoutSeconds" in query else "&timeoutSeconds=1"
        yield Case(f"watch with {words}", with_query(DEPLOYMENTS, f"watch=1&{query}{seconds}"))
        yield Case(f"custom watch with {words}", with_query(f"{WIDGETS}/widgets", f"watch=1&{query}{seconds}"))
    for words, accept in WATCH_ACCEPTS.items():
        for path in (DEPLOYMENTS, f"{WIDGETS}/widgets"):
            yield Case(f"watch of {path} in {words}", f"{path}?watch=1&resourceVersion=1", accept=accept)
    for words, (method, target) in WATCH_PATHS.items():
        yield Case(f"watch: {words}", target, method=method)
        yield Case(f"watch: {words}, Table", target, method=method, accept=TABLE)


def cases() -> Iterator[Case]:
    for resource, (path, name) in OBJECTS.items():
        for form, accept in LIST_FORMS.items():
            yield Case(f"list {resource}: {form}", path, accept=accept)
        for form, accept in OBJECT_FORMS.items():
            yield Case(f"get {resource}: {form}", f"{path}/{quote(name)}", accept=accept)
    for resource, path in LISTED.items():
        for form, accept in LIST_FORMS.items():
            yield Case(f"list {resource}: {form}", path, accept=accept)
        yield Case(f"list {resource}: Table with objects", f"{path}?includeObject=Object", accept=TABLE)
    for words, path in COLLECTIONS.items():
        for form, accept in LIST_FORMS.items():
            yield Case(f"{words}: {form}", path, accept=accept)
        if words != "replicasets":
            yield Case(f"{words}: exact", with_query(path, "resourceVersion=$one&resourceVersionMatch=Exact"))
        yield Case(f"{words}: Table with objects", with_query(path, "includeObject=Object"), accept=TABLE)
        yield Case(f"{words}: Table with nothing", with_query(path, "includeObject=None"), accept=TABLE)
    for words, accept in ACCEPTS.items():
        yield Case(f"accept on a list: {words}", DEPLOYMENTS, accept=accept)
        yield Case(f"accept on an object: {words}", f"{DEPLOYMENTS}/web", accept=accept)
        yield Case(f"accept on a custom list: {words}", f"{WIDGETS}{A}/widgets", accept=accept)
        yield Case(f"accept on a custom object: {words}", f"{WIDGETS}{A}/widgets/first", accept=accept)
        yield Case(f"accept on an error: {words}", f"{DEPLOYMENTS}/nobody", accept=accept)
        yield Case(f"accept on an empty list: {words}", f"{APPS}/namespaces/empty/deployments", accept=accept)
        for root in ("/api/v1", "/apis/apps", "/apis/apps/v1", "/apis/example.dev/v1", "/version"):
            if words not in ("partial list", "partial list v1beta1"):
                yield Case(f"accept on {root}: {words}", root, accept=accept)
    for words, query in LISTS.items():
        yield Case(f"list with {words}", with_query(DEPLOYMENTS, query))
        yield Case(f"custom list with {words}", with_query(f"{WIDGETS}/widgets", query))
        if words.startswith(("limit", "exact", "rv")):
            yield Case(f"Table with {words}", with_query(f"{APPS}/deployments", query), accept=TABLE)
            yield Case(f"partial list with {words}", with_query(f"{APPS}/deployments", query), accept=PARTIAL_LIST)
            yield Case(f"custom Table with {words}", with_query(f"{WIDGETS}/widgets", query), accept=TABLE)
    for selector in LABELS:
        shown = selector if len(selector) < 70 else f"{selector[:20]}… ({len(selector)})"
        yield Case(f"labels {shown!r}", with_query(f"{APPS}/deployments", f"labelSelector={quote(selector, safe='')}"))
        yield Case(
            f"custom labels {shown!r}", with_query(f"{WIDGETS}/widgets", f"labelSelector={quote(selector, safe='')}")
        )
    for selector in ("n>4", "n<4", "n>x", "n in (5)", "at in (1,2,3),odd", "odd=1,at!=3"):
        for path in ("/api/v1/pods", CONFIGMAPS):
            yield Case(
                f"labels of {path.rpartition('/')[2]} {selector!r}",
                with_query(path, f"labelSelector={quote(selector)}"),
            )
    for path in dict.fromkeys((*(path for path, _ in OBJECTS.values()), *LISTED.values())):
        for selector in ("bogus=1", "metadata.namespace=team-a", "metadata.name=web,spec.nodeName=x", "status.phase=x"):
            if selector not in FIELDS.get(path, ()):
                yield Case(f"fields of {path} {selector!r}", with_query(path, f"fieldSelector={quote(selector)}"))
    for path, selectors in FIELDS.items():
        for selector in selectors:
            yield Case(f"fields of {path} {selector!r}", with_query(path, f"fieldSelector={quote(selector, safe='')}"))
    for words, target in PATHS.items():
        yield Case(f"path: {words}", target)
    for words, (method, target) in METHODS.items():
        yield Case(f"method: {words}", target, method=method)
    for words, (target, headers) in HEADERS.items():
        yield Case(f"header: {words}", target, headers=headers)
    for form in ("", "Metadata", "Object", "None", "none", "Nonsense"):
        yield Case(f"includeObject {form!r}", with_query(DEPLOYMENTS, f"includeObject={form}"), accept=TABLE)
        yield Case(
            f"includeObject {form!r} of an object",
            with_query(f"{WIDGETS}{A}/widgets/first", f"includeObject={form}"),
            accept=TABLE,
        )
    for path in (f"{DEPLOYMENTS}", f"{DEPLOYMENTS}/web", f"{WIDGETS}/widgets"):  # three seconds each
        yield Case(f"ahead of everything: {path}", with_query(path, "resourceVersion=$ahead"))
    yield Case(
        "exact and ahead of everything", with_query(DEPLOYMENTS, "resourceVersion=$ahead&resourceVersionMatch=Exact")
    )
