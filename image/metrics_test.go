package image

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "1000")
	registerer := prometheus.NewPedanticRegistry()
	r := w.registries(Config{}, func(o *Options) { o.Metrics = registerer })
	w.one(r, configNeed("reg.example/app:v1"))
	w.one(r, configNeed("reg.example/app:v1"))
	w.one(r, digestNeed("reg.example/app:gone"))
	w.pass(2 * time.Minute)
	reg.script(answer(503))
	w.one(r, configNeed("reg.example/app:v1"))

	want := `
# HELP portcullis_image_contents_bytes Memory held by what is known about images by digest.
# TYPE portcullis_image_contents_bytes gauge
portcullis_image_contents_bytes 580
# HELP portcullis_image_lookups_total Images that reviews asked about, by how they were answered (cached, asked, stale, failed).
# TYPE portcullis_image_lookups_total counter
portcullis_image_lookups_total{answer="asked"} 1
portcullis_image_lookups_total{answer="cached"} 1
portcullis_image_lookups_total{answer="failed"} 1
portcullis_image_lookups_total{answer="stale"} 1
# HELP portcullis_image_tags Tags whose digest is remembered.
# TYPE portcullis_image_tags gauge
portcullis_image_tags 2
# HELP portcullis_registry_breakers_open Registries, and credentials on them, that are not used at the moment, because they failed or asked to wait.
# TYPE portcullis_registry_breakers_open gauge
portcullis_registry_breakers_open 1
# HELP portcullis_registry_requests_total Calls to registries, by operation (head, manifests, blobs, layers, token, keychain) and result (ok or a reason).
# TYPE portcullis_registry_requests_total counter
portcullis_registry_requests_total{operation="blobs",result="ok"} 1
portcullis_registry_requests_total{operation="head",result="NotFound"} 1
portcullis_registry_requests_total{operation="head",result="Unavailable"} 1
portcullis_registry_requests_total{operation="head",result="ok"} 1
portcullis_registry_requests_total{operation="manifests",result="ok"} 1
`
	err := testutil.GatherAndCompare(registerer, strings.NewReader(want), "portcullis_image_contents_bytes", "portcullis_image_lookups_total",
		"portcullis_image_tags", "portcullis_registry_breakers_open", "portcullis_registry_requests_total")
	if err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registerer, "portcullis_registry_request_seconds"); err != nil || n != 3 {
		t.Errorf("got %d, %v, want a histogram for each of 3 operations", n, err)
	}
}
