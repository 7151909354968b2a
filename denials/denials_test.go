package denials

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

var object = types.NamespacedName{Namespace: "sys", Name: "denied"}

func keeper(client *fake.Clientset) *Keeper {
	return &Keeper{Table: &Table{}, Client: client.CoreV1(), Object: object, Interval: time.Minute, Log: slog.New(slog.DiscardHandler)}
}

func empty() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: object.Namespace, Name: object.Name}}
}

// TestKeeper has two replicas count the same, and requires that the sum is kept, and
// nothing written where there is nothing new.
func TestKeeper(t *testing.T) {
	client := fake.NewClientset(empty())
	now := time.Now()
	one, other := keeper(client), keeper(client)
	d := Denial{Namespace: "shop", Kind: "ReplicaSet", Name: "web-1", User: "controller", Policy: "p", Rule: "podSecurity", Check: "hostPorts"}
	one.Table.Add(d, now)
	one.Table.Add(d, now.Add(time.Minute))
	other.Table.Add(d, now.Add(-time.Minute))
	one.keep(t.Context())
	other.keep(t.Context())
	counts, err := Read(t.Context(), client.CoreV1(), object)
	if err != nil {
		t.Fatal(err)
	}
	if len(counts) != 1 || counts[0].Count != 3 || counts[0].Last.Sub(counts[0].First) != 2*time.Minute {
		t.Errorf("got %+v, want one with count 3 in two minutes", counts)
	}
	actions := len(client.Actions())
	one.keep(t.Context())
	if got := len(client.Actions()); got != actions {
		t.Errorf("got %d requests with nothing new, want none", got-actions)
	}
}

// TestKeeperFails keeps counts that could not be written.
func TestKeeperFails(t *testing.T) {
	client := fake.NewClientset() // without the object
	k := keeper(client)
	k.Table.Add(Denial{Namespace: "shop"}, time.Now())
	k.keep(t.Context())
	if _, err := client.CoreV1().ConfigMaps(object.Namespace).Create(t.Context(), empty(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	k.Table.Add(Denial{Namespace: "shop"}, time.Now())
	k.keep(t.Context())
	if counts, err := Read(t.Context(), client.CoreV1(), object); err != nil || len(counts) != 1 || counts[0].Count != 2 {
		t.Errorf("got %+v, %v, want both requests", counts, err)
	}
}

// TestBounds has a tenant refused for as many names as he likes, each as long as he
// likes.
func TestBounds(t *testing.T) {
	client := fake.NewClientset(empty())
	k := keeper(client)
	var workers sync.WaitGroup
	for i := range 8 {
		workers.Go(func() {
			for j := range 500 {
				name := fmt.Sprintf("%d-%d-%s", i, j, strings.Repeat("\x1b\u202e", 300))
				k.Table.Add(Denial{Namespace: name, Name: name, Kind: name, Policy: name, Rule: name, Check: name}, time.Now())
			}
		})
	}
	workers.Wait()
	if got := len(k.Table.counts); got != maxEntries {
		t.Errorf("got %d entries, want %d", got, maxEntries)
	}
	k.keep(t.Context())
	found, err := client.CoreV1().ConfigMaps(object.Namespace).Get(t.Context(), object.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if size := len(found.Data[ObjectKey]); size > maxBytes || size < maxBytes/4 {
		t.Errorf("got %d bytes, want up to %d", size, maxBytes)
	}
}

// TestKept forgets what nobody has been refused for a week.
func TestKept(t *testing.T) {
	now := time.Now()
	text, err := encode([]Count{{Denial: Denial{Name: "new"}, Last: now}, {Denial: Denial{Name: "old"}, Last: now.Add(-kept - time.Second)}}, now)
	if err != nil || !strings.Contains(text, "new") || strings.Contains(text, "old") {
		t.Errorf("got %s, %v, want the new one alone", text, err)
	}
}

func TestUserClass(t *testing.T) {
	for name, want := range map[string]string{
		"alice": "user", "system:serviceaccount:shop:deployer": "serviceAccount", "system:serviceaccount:kube-system:replicaset-controller": "controller",
		"system:node:n1": "node", "system:apiserver": "system", "system:kube-controller-manager": "controller",
	} {
		if got := UserClass(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
