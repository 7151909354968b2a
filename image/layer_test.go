package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// archive makes a layer of "path=content", "path->target" for a symbolic link, "path=>target" for a hard link, and "path/".
func archive(entries ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e, Typeflag: tar.TypeDir, Mode: 0o755}
		content := ""
		if name, target, ok := strings.Cut(e, "=>"); ok {
			h = &tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
		} else if name, target, ok := strings.Cut(e, "->"); ok {
			h = &tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
		} else if name, text, ok := strings.Cut(e, "="); ok {
			h, content = &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}, text
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		_, _ = w.Write([]byte(content))
	}
	_ = w.Close()
	return b.Bytes()
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func zstded(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

// bomb is an archive of 300 MiB of zeros, packed.
func bomb(t *testing.T, pack func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	const blocks = 300
	var b bytes.Buffer
	packed := pack(&b)
	w := tar.NewWriter(packed)
	err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: blocks << 20})
	block := make([]byte, 1<<20)
	for range blocks {
		if err == nil {
			_, err = w.Write(block)
		}
	}
	if err := errors.Join(err, w.Close(), packed.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipWriter(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }

func zstdWriter(w io.Writer) io.WriteCloser {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(err)
	}
	return z
}

func TestT46LayerBombs(t *testing.T) {
	tests := []struct {
		name  string
		layer []byte
		kind  types.MediaType
		size  int64 // declared; 0 for the true one
		want  Reason
	}{
		{"300 MiB of zeros, gzip", bomb(t, gzipWriter), types.OCILayer, 0, TooLarge},
		{"300 MiB of zeros, zstd", bomb(t, zstdWriter), types.OCILayerZStd, 0, TooLarge},
		{"a declared gigabyte", archive("a=b"), types.OCILayer, 1 << 30, TooLarge},
		{"more than declared", gzipped(archive("a=b")), types.OCILayer, 10, DigestMismatch},
		{"less than declared", gzipped(archive("a=b")), types.OCILayer, 1000, UserNotFound},
		{"no archive", gzipped([]byte(strings.Repeat("x", 4096))), types.OCILayer, 0, PasswdUnreadable},
		{"broken gzip", []byte{0x1f, 0x8b, 1, 2, 3}, types.OCILayer, 0, PasswdUnreadable},
		{"broken zstd", []byte{0x28, 0xb5, 0x2f, 0xfd, 9, 9, 9, 9, 9}, types.OCILayerZStd, 0, PasswdUnreadable},
		{"huge zstd window", append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8}, make([]byte, 100)...), types.OCILayerZStd, 0, PasswdUnreadable},
		{"empty", []byte{}, types.OCILayer, 0, UserNotFound},
		{"foreign", gzipped(archive("a=b")), types.DockerForeignLayer, 0, PasswdUnreadable},
		{"encrypted", gzipped(archive("a=b")), "application/vnd.oci.image.layer.v1.tar+gzip+encrypted", 0, PasswdUnreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			reg := w.registry("reg.example")
			digest := digestOf(tt.layer)
			if tt.size == 0 {
				tt.size = int64(len(tt.layer))
			}
			reg.script(on("GET", digest, func(rw http.ResponseWriter, _ *http.Request) bool { _, _ = rw.Write(tt.layer); return true }))
			config := reg.blob("app", []byte(`{"os":"linux","architecture":"amd64","config":{"User":"app"}}`))
			config["mediaType"] = types.OCIConfigJSON
			reg.manifest("app", "v1", map[string]any{
				"schemaVersion": 2, "mediaType": string(types.OCIManifestSchema1), "config": config,
				"layers": []any{map[string]any{"mediaType": tt.kind, "digest": digest, "size": tt.size}},
			})
			began := time.Now()
			fact := w.one(w.registries(Config{}), uidNeed("reg.example/app:v1"))
			if fact.Err != nil || len(fact.Platforms) != 1 || reasonOf(fact.Platforms[0].UIDErr) != tt.want {
				t.Fatalf("got %+v, %v, want %s", fact.Platforms, fact.Err, tt.want)
			}
			t.Logf("%8s %s", time.Since(began).Round(time.Millisecond), tt.want)
		})
	}
}

func FuzzScanLayer(f *testing.F) {
	f.Add(gzipped(archive("etc/passwd=app:x:1:1\n")))
	f.Add(zstded(archive("etc/passwd=app:x:1:1\n")))
	f.Add(archive("etc->tmp", "etc/.wh.passwd="))
	f.Fuzz(func(t *testing.T, data []byte) {
		left := int64(1 << 20)
		l, err := scanLayer(&boundedReader{left: &left}, bytes.NewReader(data))
		if left < 0 || err == nil && len(l.content) > maxPasswd {
			t.Errorf("got %d left of the bound and %v", left, l)
		}
	})
}
