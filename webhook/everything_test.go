package webhook

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/bench/reviews"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
)

// knownImages knows every image, as a warm cache does.
type knownImages image.Facts

func (k knownImages) Gather(_ context.Context, needs []image.Need, _ image.Credentials) image.Facts {
	facts := make(image.Facts, len(needs))
	for _, need := range needs {
		facts[need.Image] = k[need.Image]
	}
	return facts
}

func knowAll(t testing.TB) knownImages {
	t.Helper()
	known := knownImages{}
	for _, name := range reviews.Images() {
		reference, err := image.ParseReference(name)
		if err != nil {
			t.Fatal(err)
		}
		known[name] = image.Fact{
			Image: name, Reference: reference, Digest: "sha256:" + strings.Repeat("1", 64),
			Platforms: []image.Platform{{
				OS: "linux", Architecture: "amd64", User: "1000", UID: 1000, Env: []string{"PATH=/usr/bin:/bin", "PYTHON_VERSION=3.12.4"},
				Healthcheck: &image.Healthcheck{Command: []string{"/bin/healthy"}, Interval: 10 * time.Second, Timeout: 2 * time.Second, Retries: 3},
			}},
		}
	}
	return known
}

// BenchmarkEverything answers the reviews of the load generator by the policy with
// all mutators on, from warm facts.
func BenchmarkEverything(b *testing.B) {
	data, err := os.ReadFile("../bench/load/everything.yaml")
	if err != nil {
		b.Fatal(err)
	}
	loaded, err := policies.Load(data, "everything.yaml")
	if err != nil {
		b.Fatal(err)
	}
	set, err := policies.Compile(loaded)
	if err != nil {
		b.Fatal(err)
	}
	all, err := reviews.Generate(1, 200)
	if err != nil {
		b.Fatal(err)
	}
	w := newTestWebhook(b)
	w.admission.policies, w.admission.images = func() *policies.Set { return set }, knowAll(b)
	namespaces := fakeNamespaces{}
	for _, name := range reviews.Namespaces() {
		namespaces[name] = nil
	}
	w.admission.namespaces = namespaces
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		request := httptest.NewRequest(http.MethodPost, "/x?timeout=5s", bytes.NewReader(all[i%len(all)].Body))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		w.mutate.ServeHTTP(answer, request)
		if i++; !bytes.Contains(answer.Body.Bytes(), []byte(`"patch"`)) {
			b.Fatalf("got %s, want a patch", answer.Body)
		}
	}
}
