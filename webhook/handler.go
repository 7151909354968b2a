package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

const (
	// maxBody bounds a review, in bytes. An update of an object close to etcd's
	// limit of 1.5 MiB comes with the old object and managed fields of both.
	maxBody = 7 << 20
	// usualBody bounds what is set aside for a body because of what its sender says
	// of its length, in bytes.
	usualBody = 64 << 10
	// maxBodies bounds the reviews that are read and judged at once, in bytes.
	maxBodies = 64 << 20
	// maxDeadline bounds one review, whatever the API server allows for it.
	maxDeadline = 10 * time.Second
	// deadlineMargin is kept back for the way of the answer.
	deadlineMargin = 200 * time.Millisecond
	// maxWrite bounds the writing of an answer, which nobody waits for any more then.
	maxWrite = 2 * time.Second
)

// endpoint serves reviews: it turns bytes into a request and a response into
// bytes, and bounds both in size and time.
type endpoint struct {
	name     string // metric label
	admit    func(context.Context, *request) *admissionv1.AdmissionResponse
	metrics  *metrics
	log      *slog.Logger
	draining *atomic.Bool
	room     *room // of both endpoints
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	if e.draining.Load() {
		// Makes the API server open its next connection to another replica.
		w.Header().Set("Connection", "close")
	}
	limit := deadline(r.URL.Query().Get("timeout"))
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	latest := start.Add(limit / patience) // for the beginning of the work
	client := clientOf(r.RemoteAddr)
	if !e.room.enter(client) {
		e.shed(w, r)
		return
	}
	defer e.room.leave(client)
	size := int64(maxBody)
	if r.ContentLength >= 0 {
		size = min(r.ContentLength, maxBody)
	}
	if err := e.room.takeBytes(ctx, size, latest); err != nil {
		e.shed(w, r)
		return
	}
	defer e.room.bodies.Release(size)
	body, status, err := readBody(ctx, w, r)
	if err != nil {
		e.reject(w, status, err)
		return
	}
	if err := e.room.turns.take(ctx, client, latest); err != nil {
		e.shed(w, r)
		return
	}
	done, status, err := e.compute(ctx, body)
	if err != nil {
		e.reject(w, status, err)
		return
	}
	e.write(w, done.answer)
	e.metrics.review(e.name, done.request, done.response, time.Since(start))
}

// computed is a review that has its answer.
type computed struct {
	request  *request
	response *admissionv1.AdmissionResponse
	answer   []byte // as it is written
}

// compute does what takes a processor, and gives its turn back. With the error goes the
// status to refuse the body with.
func (e *endpoint) compute(ctx context.Context, body []byte) (c computed, status int, err error) {
	defer e.room.turns.giveBack()
	if c.request, err = decodeReview(body); err != nil {
		return c, http.StatusBadRequest, err
	}
	c.request.turns = e.room.turns
	c.response = e.recoverAdmit(ctx, c.request)
	if c.answer, err = encodeReview(c.request.UID, c.response); err != nil {
		return c, http.StatusInternalServerError, fmt.Errorf("encoding the answer: %w", err)
	}
	return c, 0, nil
}

// write writes an answer. Whoever does not take it, because he is gone without a word
// say, holds the memory of his review no longer than that.
func (e *endpoint) write(w http.ResponseWriter, answer []byte) {
	connection := http.NewResponseController(w)
	_ = connection.SetWriteDeadline(time.Now().Add(maxWrite)) // a writer that cannot, as in a test, says so
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(answer); err != nil {
		e.log.Debug("writing the answer", "err", err)
		return
	}
	_ = connection.SetWriteDeadline(time.Time{}) // the connection is used again
}

// shed turns a review away that there is no room for. There is no Retry-After: with it
// the API server would send the review again within the same call, and with the time
// of the first attempt (k8s.io/client-go/rest, withRetry). Who wants the object tries
// again, as after every refusal.
func (e *endpoint) shed(w http.ResponseWriter, r *http.Request) {
	if r.Context().Err() != nil {
		return // the client was not turned away, but is gone
	}
	e.metrics.shed.WithLabelValues(e.name).Inc()
	e.room.told.Do(func() {
		e.log.Warn("turning reviews away: there are more than can be answered in time", "endpoint", e.name)
	})
	http.Error(w, errNoRoom.Error(), http.StatusTooManyRequests)
}

// reject answers what is not a review. The API server takes it for a failed call
// and applies the webhook's failurePolicy.
func (e *endpoint) reject(w http.ResponseWriter, status int, err error) {
	e.metrics.rejected.WithLabelValues(e.name).Inc()
	e.log.Warn("refusing what is not a review", "endpoint", e.name, "err", err)
	http.Error(w, err.Error(), status)
}

// recoverAdmit turns a panic into a denial: a dropped connection would be retried
// or, with failurePolicy Ignore, let through (CVE-2026-41485).
func (e *endpoint) recoverAdmit(ctx context.Context, req *request) (response *admissionv1.AdmissionResponse) {
	defer func() {
		if cause := recover(); cause != nil {
			e.metrics.panics.Inc()
			e.log.Error("panic while judging", "cause", cause, "resource", req.Resource.Resource,
				"namespace", req.Namespace, "name", req.Name, "stack", string(debug.Stack()))
			response = failed("Portcullis failed while judging this object and refuses it; the log of its pods has the cause")
		}
	}()
	return e.admit(ctx, req)
}

// readBody returns the body of a POST of JSON, or the status to refuse it with.
func readBody(ctx context.Context, w http.ResponseWriter, r *http.Request) ([]byte, int, error) {
	// A body that drips in may not hold its place for longer than its review. A
	// writer that cannot set that, as in a test, says so in an error.
	connection := http.NewResponseController(w)
	if end, ok := ctx.Deadline(); ok {
		_ = connection.SetReadDeadline(end)
	}
	if r.Method != http.MethodPost {
		return nil, http.StatusMethodNotAllowed, fmt.Errorf("got method %s, want POST", r.Method)
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("got content type %q, want application/json", r.Header.Get("Content-Type"))
	}
	var buffer bytes.Buffer
	buffer.Grow(int(min(max(r.ContentLength, 0), usualBody)) + bytes.MinRead)
	_, err = buffer.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the review is larger than %d bytes", maxBody)
	case err != nil:
		return nil, http.StatusBadRequest, fmt.Errorf("reading the review: %w", err)
	}
	// Only now: what is left of a refused body is read by the server, and has to end.
	_ = connection.SetReadDeadline(time.Time{})
	return buffer.Bytes(), 0, nil
}

// deadline is how long a review may take, from the timeout that the API server
// names in the URL. The API server rounds what is left of it up to a full
// second, so that up to a second of it is already gone
// (k8s.io/apiserver/pkg/admission/plugin/webhook/validating/dispatcher.go).
func deadline(timeout string) time.Duration {
	d, err := time.ParseDuration(timeout)
	if err != nil || d <= 0 {
		return maxDeadline
	}
	return min(max(d-time.Second-deadlineMargin, d/4), maxDeadline)
}
