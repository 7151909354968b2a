package webhook

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

const (
	// allowedFor is how long a yes of the API server holds: whoever loses a right has
	// the page for as long.
	allowedFor = time.Minute
	// refusedFor is how long a no holds: a script that shows a token which has ended
	// shows it again.
	refusedFor = 5 * time.Second
	// maxAllowed and maxRefused bound how many of them are remembered.
	maxAllowed, maxRefused = 256, 1024
)

// accessQuestion is who asks for what.
type accessQuestion struct{ token, verb, path string }

// anywhere is the question whose the token is, whatever it is shown for.
func (q accessQuestion) anywhere() accessQuestion { return accessQuestion{token: q.token} }

// accessKey is a digest of a question: tokens are not kept.
type accessKey [sha256.Size]byte

func (q accessQuestion) key() accessKey {
	return sha256.Sum256([]byte(q.verb + "\x00" + q.path + "\x00" + q.token))
}

// refusal is why somebody does not see the page.
type refusal struct {
	status int
	text   string
}

var (
	unknownToken = &refusal{http.StatusUnauthorized, "show a token that the API server knows: Authorization: Bearer TOKEN"}
	tooManyAsk   = &refusal{http.StatusTooManyRequests, "too many ask at once; try again in a moment"}
)

func (r *refusal) write(w http.ResponseWriter) {
	switch r.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, r.text, r.status)
}

// accessAnswers are what the API server has said, each for a while.
type accessAnswers struct {
	now func() time.Time

	mutex   sync.Mutex
	allowed map[accessKey]time.Time // until when
	denied  map[accessKey]deniedUntil
}

type deniedUntil struct {
	until time.Time
	why   *refusal
}

// allows reports whether a yes holds.
func (a *accessAnswers) allows(q accessQuestion) bool {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.now().Before(a.allowed[q.key()])
}

// stranger reports whether there never was a yes.
func (a *accessAnswers) stranger(q accessQuestion) bool {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	_, known := a.allowed[q.key()]
	return !known
}

// refused is the no that holds, nil for none.
func (a *accessAnswers) refused(q accessQuestion) *refusal {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for _, asked := range []accessQuestion{q, q.anywhere()} {
		if no := a.denied[asked.key()]; a.now().Before(no.until) {
			return no.why
		}
	}
	return nil
}

func (a *accessAnswers) allow(q accessQuestion) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.allowed == nil || len(a.allowed) >= maxAllowed {
		a.allowed = map[accessKey]time.Time{} // they are asked about again
	}
	a.allowed[q.key()] = a.now().Add(allowedFor)
}

// refuse remembers a no, and returns it. One about a token holds whatever it is shown
// for.
func (a *accessAnswers) refuse(q accessQuestion, why *refusal) *refusal {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	delete(a.allowed, q.key()) // a stranger from now on
	if a.denied == nil || len(a.denied) >= maxRefused {
		a.denied = map[accessKey]deniedUntil{}
	}
	if why == unknownToken {
		q = q.anywhere()
	}
	a.denied[q.key()] = deniedUntil{a.now().Add(refusedFor), why}
	return why
}
