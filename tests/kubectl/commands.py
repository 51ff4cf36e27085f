"""What people type: one kubectl command a line, run against the mirror and against the API server.

{pod} and {replicaset} are two that the Deployment web in the namespace books has. Every resource that a command reads
is mirrored. What the mirror does not have by design is not here: subresources but status, apiservices, and whole
objects printed with their managedFields.
"""

GET = """
get deployments -A
get deployments -n books
get deploy -n books web
get deploy/web deploy/api -n books
get deployments.apps -n books
get deployments.v1.apps web -n books
get deployment,replicasets,pods,services -n books
get pods,nodes -n books
get deploy/web book/emma -n books -o name
get all -n books
get all -A
get all,books -n books
get library,books -n books
get pods -n books --no-headers
get deploy -n books --show-labels
get deploy -n books -L app,tier
get deploy -n books --show-kind
get deploy -n books -o wide --show-labels --show-kind -L app
get deployments -n books -o wide
get pods -n books -o wide
get rs -n books -o wide
get nodes -o wide
get nodes
get namespaces
get ns books -o yaml
get nodes -o yaml
get deploy web -n books -o yaml
get deploy web -n books -o json
get deploy web -n books -o kyaml
get deploy web -n books -o yaml --subresource=status
get deploy web -n books --subresource=status
get deploy -n books -o yaml
get deploy -n books -o json
get deploy web api -n books -o json
get deploy,books -n books -o yaml
get deploy,books -n books -o json
get {pod} -n books -o yaml
get {replicaset} -n books -o yaml
get pods -A -o name
get pods,deploy -n books -o name
get deploy -n books --server-print=false
get pods -n books --server-print=false -o wide
get svc -A
get sa -A
get cm -A
get cm settings -n books -o yaml
get cm settings -n books -o jsonpath='{.data}'
get cm settings -n books -o go-template='{{index .data "lines"}}'
get quota,limits -n books
get sts,ds,jobs,cronjobs -n books
get sts,ds,jobs,cronjobs -n books -o wide
get ing,netpol,pdb,hpa,pvc -n books
get ing,netpol,pdb,hpa,pvc -n books -o wide
get sc,pv,pc
get roles,rolebindings -n books
get clusterroles
get clusterrolebindings -o wide
get endpointslices -n books
get events -n books
get events -n books -o wide
get events.v1.events.k8s.io -n books -o wide
get events -A --sort-by=.metadata.creationTimestamp
get events -n books --sort-by=.lastTimestamp
events -n books
events -n books --for deployment/web
events -n books --types Warning
get crd
get crd books.library.example.com -o yaml
get books -n books
get bk -A -o wide
get books -n books -o json
get books -n books --server-print=false
get books.library.example.com emma -n books -o yaml
get books emma -n books --subresource=status -o yaml
get books.v1beta1.library.example.com -n books
get books.v1beta1.library.example.com emma -n books -o yaml
get library -n books -o name
get libraries
get libraries -o yaml
get deploy nothing -n books --ignore-not-found
get -n nowhere deploy
get -f {objects}
get -f {objects} -o name
"""

TEMPLATES = r"""
get deploy -n books -o jsonpath='{.items[*].metadata.name}'
get deploy -n books -o jsonpath='{range .items[*]}{.metadata.name}{"\t"}{.status.replicas}{"\n"}{end}'
get pods -n books -o jsonpath='{.items[?(@.status.phase=="Running")].metadata.name}'
get deploy web -n books -o jsonpath-as-json='{.spec.template.spec.containers[*].image}'
get deploy web -n books -o jsonpath='{.nothing}'
get deploy -n books -o custom-columns=NAME:.metadata.name,RV:.metadata.resourceVersion
get deploy -n books -o custom-columns=A:.nothing,B:.status.conditions[*].type
get deploy -n books -o custom-columns=NAME:.metadata.name,MADE:.metadata.creationTimestamp --sort-by=.metadata.name
get deploy -n books -o go-template='{{range .items}}{{.metadata.name}} {{.status.replicas}}{{"\n"}}{{end}}'
get rs -n books -l app=web --sort-by=.metadata.annotations.deployment\\.kubernetes\\.io/revision
get deploy -n books --sort-by=.metadata.creationTimestamp
get deploy -A --sort-by=.metadata.name
get pods -n books --sort-by='{.spec.nodeName}'
"""

PAGES = """
get pods -A --chunk-size=1
get pods -n books --chunk-size=2 -l app=web
get deploy -A --sort-by=.metadata.name --chunk-size=1
get deploy -n books --chunk-size=2 -o name
get deploy -n books --chunk-size=0
get books -n books --chunk-size=1 -o wide
describe pods -n books --chunk-size=1
"""

SELECTORS = """
get pods -n books -l app=web
get pods -n books -l 'app in (web,api),tier!=back'
get pods -n books -l '!tier'
get rs -n books -l pod-template-hash
get nodes -l type=kwok
get books -n books -l shelf
get pods -n books --field-selector status.phase=Running
get pods -n books --field-selector spec.nodeName=node,status.phase!=Pending
get pods -n books --field-selector metadata.name=nothing
get pods -A --field-selector metadata.namespace=books
get ns --field-selector status.phase=Active
get nodes --field-selector spec.unschedulable=false
get svc -A --field-selector spec.type=ClusterIP
get events -n books --field-selector reason=ScalingReplicaSet
get events -n books --field-selector involvedObject.kind=ReplicaSet,reason=SuccessfulCreate
get books -n books --field-selector spec.author=Austen
"""

DESCRIBE = """
describe deployment web -n books
describe deployment stuck -n books
describe deployments -n books
describe deploy -l app=web -n books
describe deploy/web -n books --show-events=false
describe {pod} -n books
describe pods -n books
describe {replicaset} -n books
describe node node
describe nodes
describe namespace books
describe ns
describe book emma -n books
describe books,libraries -n books
describe crd books.library.example.com
describe events -n books
describe cm settings -n books
describe svc,sts,ds,jobs,cronjobs,ing,netpol,pdb,hpa,pvc,quota,limits,sa -n books
describe sc
describe role,rolebinding -n books
"""

WAITING = """
wait --for=condition=Available deploy/web -n books
wait --for=condition=Ready pods -l app=web -n books
wait --for=jsonpath='{.status.replicas}'=3 deploy/web -n books
wait --for=delete deploy/nothing -n books --timeout=1s
wait --for=create deploy/web -n books --timeout=1s
rollout status deploy/web -n books
rollout status deploy -n books -l app=web
rollout history deploy/web -n books
rollout history deploy -n books
rollout history deploy/web -n books --revision=3
rollout history deploy/web -n books --revision=3 -o json
rollout history deploy/web -n books -o yaml
rollout history sts/store -n books
rollout history ds/agent -n books
"""

EXPLAIN = """
explain deployments
explain deployments --recursive
explain deployment.spec.strategy
explain deployment.spec --recursive
explain deployment.metadata --output=plaintext
explain deploy --output=plaintext-openapiv2
explain deploy --api-version=apps/v1
explain pod.spec.containers.resources
explain cronjobs.spec.jobTemplate.spec.template.spec.containers.env
explain events
explain crd.spec.versions.schema
explain libraries
explain books
explain books.spec
explain books.spec.author
explain books --api-version=library.example.com/v1beta1
"""

ACCESS = """
version
auth can-i get pods
auth can-i list deployments.apps -A
auth can-i watch books -n books
auth can-i list books.library.example.com -n books -q
auth can-i get deploy/web -n books
auth can-i get pods --subresource=status
auth can-i get /apis
get --raw /version
get --raw /healthz
get --raw /livez
get --raw /readyz
get --raw /openapi/v3
get --raw /api/v1/namespaces/books
get --raw /apis/apps/v1/namespaces/books/deployments/web
get --raw /apis/apps/v1/namespaces/books/deployments/web/status
get --raw /apis/apps/v1/namespaces/books/deployments?labelSelector=app=web&resourceVersion=0
get --raw /apis/library.example.com/v1/namespaces/books/books/emma
"""

ERRORS = """
get deploy nothing -n books
get deploy web nothing -n books
get -n books nothing
get nothing.example.com
get books.v9.library.example.com
get deploy web -n books -l app=web
get deploy web -A
get deploy -n books -o nonsense
get pods -n books --field-selector nonsense=1
get books -n books --field-selector spec.pages=474
get pods -n books -l 'a=(('
get deploy web -n books --output-watch-events
describe deploy nothing -n books
wait --for=condition=Available deploy/stuck -n books --timeout=1s
rollout status deploy/stuck -n books --timeout=1s
rollout status sts/store -n books --timeout=1s
rollout history deploy/web -n books --revision=9
explain nothing
explain deployment.spec.nothing
get --raw /apis/nothing
get --raw /apis/apps/v1/namespaces/books/deployments/nothing
get --raw /apis/apps/v1/nothings
top pods
"""

COMMANDS = [
    line
    for lines in (GET, TEMPLATES, PAGES, SELECTORS, DESCRIBE, WAITING, EXPLAIN, ACCESS)
    for line in lines.splitlines()
    if line
]
FAILING = [line for line in ERRORS.splitlines() if line]
