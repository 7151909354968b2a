package serving_test

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// alerts count the CloudEvents that arrive, by type, subject and outcome.
type alerts struct {
	mutex sync.Mutex
	count map[string]int
}

func (a *alerts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event struct {
		Type, Subject string
		Data          struct{ Outcome string }
	}
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.count == nil {
		a.count = map[string]int{}
	}
	a.count[event.Type+" "+event.Subject+" "+event.Data.Outcome]++
}

// got is how many have arrived about a kind of configuration.
func (a *alerts) got(kind, outcome string) int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.count["dev.portcullis.registration.changed "+kind+"/"+harness.Name+" "+outcome]
}
