// Informers against one server, compared with the lists of another.
//
// informers --kubeconfig MIRROR --against SERVER --custom books.v1.library.example.com
//
// Three kinds of clients (typed, which prefers protobuf; dynamic; metadata) keep one informer each for several
// resources from the first server. Commands are lines on stdin, answers are lines of JSON on stdout:
//
//	sync    wait until every informer has synced
//	equal   compare every informer's store with a fresh list of the second server, again and again until they agree;
//	        tell what was seen until then
//
// Whether informers list by watching (WatchList) or in client-go's old way is client-go's own setting, the variable
// KUBE_FEATURE_WatchListClient.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// client-go waits up to a minute between its attempts, and there were several outages.
const patience = 150 * time.Second

const protobuf = "application/vnd.kubernetes.protobuf"

var builtIn = []schema.GroupVersionResource{
	{Version: "v1", Resource: "configmaps"},
	{Version: "v1", Resource: "pods"},
	{Version: "v1", Resource: "namespaces"},
	{Group: "apps", Version: "v1", Resource: "deployments"},
}

// followed is one informer, and how the same is listed elsewhere.
type followed struct {
	Client     string `json:"client"`
	Resource   string `json:"resource"`
	Objects    int    `json:"objects"`
	Adds       int    `json:"adds"`
	Updates    int    `json:"updates"`
	Deletes    int    `json:"deletes"`
	Violations string `json:"violations"`
	Different  string `json:"different"`

	informer cache.SharedIndexInformer
	list     func(context.Context) (runtime.Object, error)
	lock     sync.Mutex
}

// asked counts requests by what they were, and answers by their code.
type asked struct {
	Lists      int         `json:"lists"`
	Watches    int         `json:"watches"`
	WatchLists int         `json:"watchLists"`
	Codes      map[int]int `json:"codes"`
	Failures   int         `json:"failures"`

	lock sync.Mutex
}

type counting struct {
	next  http.RoundTripper
	asked *asked
}

func (c counting) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	c.asked.lock.Lock()
	defer c.asked.lock.Unlock()
	query := request.URL.Query()
	switch {
	case query.Get("sendInitialEvents") == "true":
		c.asked.WatchLists++
	case query.Has("watch"):
		c.asked.Watches++
	default:
		c.asked.Lists++
	}
	if err != nil {
		c.asked.Failures++
	} else {
		c.asked.Codes[response.StatusCode]++
	}
	return response, err
}

func main() {
	mirror := flag.String("kubeconfig", "", "of the server that informers follow")
	server := flag.String("against", "", "of the server whose lists are the truth")
	custom := flag.String("custom", "", "a custom resource as resource.version.group")
	flag.Parse()
	if err := run(*mirror, *server, *custom); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(mirror, server, custom string) error {
	seen := &asked{Codes: map[int]int{}}
	here, err := config(mirror)
	if err != nil {
		return err
	}
	here.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{next, seen} })
	there, err := config(server)
	if err != nil {
		return err
	}
	all, start, err := follow(here, there, custom)
	if err != nil {
		return err
	}
	for _, each := range all {
		if _, err := each.informer.AddEventHandler(each.handler()); err != nil {
			return err
		}
	}
	start(context.Background().Done())

	answers := json.NewEncoder(os.Stdout)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		switch commands.Text() {
		case "sync":
			if err := synced(all); err != nil {
				return err
			}
			err = answers.Encode(map[string]int{"synced": len(all)})
		case "equal":
			compare(all)
			err = tell(answers, all, seen)
		default:
			err = fmt.Errorf("no such command: %q", commands.Text())
		}
		if err != nil {
			return err
		}
	}
	return commands.Err()
}

func config(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 1000, 1000
	return config, nil
}

// follow makes every informer; start runs them.
func follow(here, there *rest.Config, custom string) (all []*followed, start func(<-chan struct{}), err error) {
	preferring := func(config *rest.Config) *rest.Config {
		copied := rest.CopyConfig(config)
		copied.ContentType = protobuf
		copied.AcceptContentTypes = protobuf + ",application/json"
		return copied
	}
	typed, err := kubernetes.NewForConfig(preferring(here))
	if err != nil {
		return nil, nil, err
	}
	typedThere, err := kubernetes.NewForConfig(preferring(there))
	if err != nil {
		return nil, nil, err
	}
	general, err := dynamic.NewForConfig(here)
	if err != nil {
		return nil, nil, err
	}
	generalThere, err := dynamic.NewForConfig(there)
	if err != nil {
		return nil, nil, err
	}
	partial, err := metadata.NewForConfig(here)
	if err != nil {
		return nil, nil, err
	}
	partialThere, err := metadata.NewForConfig(there)
	if err != nil {
		return nil, nil, err
	}
	ofTyped := informers.NewSharedInformerFactory(typed, 0)
	ofGeneral := dynamicinformer.NewDynamicSharedInformerFactory(general, 0)
	ofPartial := metadatainformer.NewSharedInformerFactory(partial, 0)

	everything := metav1.ListOptions{}
	add := func(client string, resource schema.GroupVersionResource, informer cache.SharedIndexInformer,
		list func(context.Context) (runtime.Object, error)) {
		all = append(all, &followed{
			Client: client, Resource: resource.GroupResource().String(), informer: informer, list: list,
		})
	}
	resources := builtIn
	for _, resource := range resources {
		informer, err := ofTyped.ForResource(resource)
		if err != nil {
			return nil, nil, err
		}
		add("typed", resource, informer.Informer(), func(ctx context.Context) (runtime.Object, error) {
			switch resource.Resource {
			case "configmaps":
				return typedThere.CoreV1().ConfigMaps("").List(ctx, everything)
			case "pods":
				return typedThere.CoreV1().Pods("").List(ctx, everything)
			case "namespaces":
				return typedThere.CoreV1().Namespaces().List(ctx, everything)
			default:
				return typedThere.AppsV1().Deployments("").List(ctx, everything)
			}
		})
	}
	if parsed, _ := schema.ParseResourceArg(custom); parsed != nil {
		resources = append(resources, *parsed)
	}
	for _, resource := range resources {
		add("dynamic", resource, ofGeneral.ForResource(resource).Informer(),
			func(ctx context.Context) (runtime.Object, error) {
				return generalThere.Resource(resource).List(ctx, everything)
			})
		add("metadata", resource, ofPartial.ForResource(resource).Informer(),
			func(ctx context.Context) (runtime.Object, error) {
				return partialThere.Resource(resource).List(ctx, everything)
			})
	}
	return all, func(stop <-chan struct{}) {
		ofTyped.Start(stop)
		ofGeneral.Start(stop)
		ofPartial.Start(stop)
	}, nil
}

// handler counts, and looks that no object goes back in time.
func (f *followed) handler() cache.ResourceEventHandler {
	count := func(counter *int) {
		f.lock.Lock()
		defer f.lock.Unlock()
		*counter++
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { count(&f.Adds) },
		UpdateFunc: func(before, after any) {
			count(&f.Updates)
			if old, now := version(before), version(after); now < old {
				f.lock.Lock()
				defer f.lock.Unlock()
				f.Violations += fmt.Sprintf("%s went from %d back to %d; ", key(after), old, now)
			}
		},
		DeleteFunc: func(any) { count(&f.Deletes) },
	}
}

func synced(all []*followed) error {
	limit := time.Now().Add(patience)
	for _, each := range all {
		for !each.informer.HasSynced() {
			if time.Now().After(limit) {
				return fmt.Errorf("%s %s has not synced", each.Client, each.Resource)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// compare notes what is different still when patience is over.
func compare(all []*followed) {
	limit := time.Now().Add(patience)
	for _, each := range all {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			different := each.differs(ctx)
			cancel()
			each.lock.Lock()
			each.Different, each.Objects = different, len(each.informer.GetStore().ListKeys())
			each.lock.Unlock()
			if different == "" || time.Now().After(limit) {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// differs says in what the store is not what the list says, "" where it is.
func (f *followed) differs(ctx context.Context) string {
	listed, err := f.list(ctx)
	if err != nil {
		return err.Error()
	}
	items, err := meta.ExtractList(listed)
	if err != nil {
		return err.Error()
	}
	there := map[string]runtime.Object{}
	for _, item := range items {
		there[key(item)] = item
	}
	store := f.informer.GetStore()
	for _, known := range store.ListKeys() {
		if _, found := there[known]; !found {
			return known + " is in the store and not in the list"
		}
	}
	for known, wanted := range there {
		held, found, err := store.GetByKey(known)
		if err != nil || !found {
			return known + " is in the list and not in the store"
		}
		if version(held) != version(wanted) {
			return fmt.Sprintf("%s is %d in the store and %d in the list", known, version(held), version(wanted))
		}
		// DeepDerivative and the like forgive; this does not, but for empty and absent being one.
		if !equality.Semantic.DeepEqual(cut(held.(runtime.Object)), cut(wanted)) {
			return known + " has other content in the store than in the list"
		}
	}
	return ""
}

// cut takes away what a mirror does not hold, and what a list's item does not say of itself.
func cut(object runtime.Object) runtime.Object {
	copied := object.DeepCopyObject()
	accessor, _ := meta.Accessor(copied)
	accessor.SetManagedFields(nil)
	copied.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return copied
}

func key(object any) string {
	known, _ := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
	return known
}

func version(object any) uint64 {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return 0
	}
	number, _ := strconv.ParseUint(accessor.GetResourceVersion(), 10, 64)
	return number
}

func tell(answers *json.Encoder, all []*followed, seen *asked) error {
	for _, each := range all {
		each.lock.Lock()
		defer each.lock.Unlock()
		each.Violations = strings.TrimSuffix(each.Violations, "; ")
	}
	seen.lock.Lock()
	defer seen.lock.Unlock()
	return answers.Encode(map[string]any{"informers": all, "asked": seen})
}
