package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
)

// apiServer answers what portcullis serve asks an API server: lists in pages, a
// watch of namespaces in which nothing happens, and a Lease that nobody disputes.
type apiServer struct {
	cluster
	requests, bytes atomic.Int64
}

// take returns the pages and bytes since the last call.
func (s *apiServer) take() (requests, bytes int64) {
	return s.requests.Swap(0), s.bytes.Swap(0)
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	resource := path.Base(r.URL.Path)
	switch {
	case strings.HasSuffix(r.URL.Path, "/leases/portcullis"):
		lease(w, r)
	case r.URL.Path == "/api":
		fmt.Fprint(w, `{"kind":"APIVersions","versions":["v1"]}`)
	case r.URL.Path == "/apis":
		fmt.Fprint(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
	case r.URL.Path == "/api/v1":
		fmt.Fprint(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"namespaces","kind":"Namespace","namespaced":false,"verbs":["list","watch"]},{"name":"pods","kind":"Pod","namespaced":true,"verbs":["list"]}]}`)
	case query.Get("sendInitialEvents") != "":
		refuse(w, http.StatusUnprocessableEntity, "Invalid")
	case query.Get("watch") != "":
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case strings.HasPrefix(r.URL.Path, "/apis/openreports.io"), strings.HasPrefix(r.URL.Path, "/apis/wgpolicyk8s.io"):
		refuse(w, http.StatusNotFound, "NotFound")
	default:
		s.list(w, resource, query.Get("limit"), query.Get("continue"))
	}
}

func refuse(w http.ResponseWriter, code int, reason string) {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
}

// lease says that nobody leads, and takes what it is told.
func lease(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	if r.Method == http.MethodPut {
		_, _ = io.Copy(w, r.Body)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"portcullis","namespace":"portcullis-system","resourceVersion":"1"},"spec":{}}`)
}

func (s *apiServer) list(w http.ResponseWriter, resource, limit, from string) {
	s.requests.Add(1)
	begin, _ := strconv.Atoi(from)
	end := s.count(resource)
	next := ""
	if size, err := strconv.Atoi(limit); err == nil && begin+size < end {
		end = begin + size
		next = strconv.Itoa(end)
	}
	kind := map[string]string{"namespaces": "NamespaceList", "pods": "PodList"}[resource]
	if kind == "" {
		kind = "List"
	}
	out := bufio.NewWriterSize(w, 1<<16)
	defer out.Flush()
	fmt.Fprintf(out, `{"kind":%q,"apiVersion":"v1","metadata":{"resourceVersion":"9","continue":%q},"items":[`, kind, next)
	for i := begin; i < end; i++ {
		if i > begin {
			_ = out.WriteByte(',')
		}
		n, _ := out.WriteString(s.object(resource, i))
		s.bytes.Add(int64(n))
	}
	_, _ = out.WriteString("]}")
}
