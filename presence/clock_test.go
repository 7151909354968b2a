package presence

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"

	"github.com/portcullis-dev/portcullis/e2e/wallclock"
)

// apiServer has the objects of a heartbeat, and a clock of its own.
type apiServer struct {
	now   time.Time
	lease *coordinationv1.Lease
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lease, configuration := objects()
	if s.lease == nil {
		s.lease = lease
	}
	w.Header().Set("Date", s.now.UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Type", "application/json")
	var answer any = s.lease
	switch {
	case r.URL.Path == "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/portcullis":
		answer = configuration
	case r.Method == http.MethodPut:
		s.lease = &coordinationv1.Lease{}
		if err := json.NewDecoder(r.Body).Decode(s.lease); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer = s.lease
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// TestF29ClockJump sets the clock of a replica an hour forward and back while it and
// the API server go on, and lets it sleep. Only the sleep is a gap.
func TestF29ClockJump(t *testing.T) {
	began := time.Now()
	for _, tt := range []struct {
		name string
		// since the last note, by the API server, by how much the clock of the machine
		// went on, and by how much it was set
		served, passed, set time.Duration
		gap                 time.Duration
	}{
		{"nothing", 5 * time.Second, 5 * time.Second, 0, 0},
		{"forward", 5 * time.Second, 5 * time.Second, time.Hour, 0},
		{"back", 5 * time.Second, 5 * time.Second, -time.Hour, 0},
		{"away", time.Minute, time.Minute, 0, time.Minute},
		{"away, and forward", time.Minute, time.Minute, time.Hour, time.Minute},
		{"away, and back", time.Minute, time.Minute, -time.Hour, time.Minute},
		{"asleep", time.Minute, time.Second, 59 * time.Second, time.Minute},
		{"asleep, and its clock stood still", time.Minute, time.Second, 0, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, machine := &apiServer{now: began}, began
			listener := httptest.NewServer(server)
			defer listener.Close()
			served := &clock{machine: func() time.Time { return machine }}
			config := &rest.Config{Host: listener.URL}
			config.ContentType = "application/json"
			config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &listening{next, served} })
			client, err := Connect(config)
			if err != nil {
				t.Fatal(err)
			}
			client.Now = served.now
			h := &Heartbeat{
				Client: client, Lease: lease, Interval: 5 * time.Second, Configuration: "portcullis", Log: slog.New(slog.DiscardHandler),
				Ready: func() error { return nil }, Policies: func() map[string]string { return map[string]string{"p": "1"} },
			}
			if err := h.beat(t.Context()); err != nil {
				t.Fatal(err)
			}
			server.now, machine = began.Add(tt.served), wallclock.Set(t, began.Add(tt.passed), tt.set)
			if err := h.beat(t.Context()); err != nil {
				t.Fatal(err)
			}
			n, err := read(server.lease)
			if err != nil {
				t.Fatal(err)
			}
			var got []time.Duration
			for _, g := range n.gaps {
				got = append(got, g.Until.Sub(g.From).Round(2*time.Second))
			}
			var want []time.Duration
			if tt.gap > 0 {
				want = append(want, tt.gap)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
			if off := n.renewed.Sub(server.now).Abs(); off > maxSkew+time.Second {
				t.Errorf("got a note %s from the time of the API server", off)
			}
		})
	}
}
