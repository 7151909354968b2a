package harness

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
)

// Compact has etcd forget everything but what is stored now, as an API server has it
// do every five minutes: a list that was begun before cannot be gone on with. The key
// is the one by which API servers tell each other
// (k8s.io/apiserver/pkg/storage/etcd3/compact.go).
func (c *ControlPlane) Compact(ctx context.Context) error {
	encoded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	var answer struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	if err := c.etcd(ctx, "range", map[string]any{"key": encoded("compact_rev_key")}, &answer); err != nil {
		return err
	}
	revision := answer.Header.Revision
	if err := c.etcd(ctx, "put", map[string]any{"key": encoded("compact_rev_key"), "value": encoded(revision)}, &answer); err != nil {
		return err
	}
	return c.etcd(ctx, "compaction", map[string]any{"revision": revision, "physical": true}, &answer)
}

// etcd calls its JSON gateway.
func (c *ControlPlane) etcd(ctx context.Context, method string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	url := c.environment.ControlPlane.Etcd.URL.String() + "/v3/kv/" + method
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("calling etcd: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("calling etcd: %s: status %s", method, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}
