package image

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// on limits a fault to requests whose method and path have these in them.
func on(method, part string, do fault) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return strings.Contains(r.Method, method) && strings.Contains(r.URL.Path, part) && do(w, r)
	}
}

func answer(code int, headers ...string) fault {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "SECRET-XYZ")
		return true
	}
}

// hang answers nothing until the client gives up.
func hang(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	return true
}

// reset closes the connection.
func reset(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// drip sends a byte at a time.
func drip(w http.ResponseWriter, r *http.Request) bool {
	for range 10_000 {
		if _, err := w.Write([]byte(" ")); err != nil {
			return true
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return true
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

// challenged lets requests with this Authorization pass and challenges all others.
func challenged(authorization, challenge string) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == authorization {
			return false
		}
		return answer(http.StatusUnauthorized, "WWW-Authenticate", challenge)(w, r)
	}
}
