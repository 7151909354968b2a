package image

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestNoShell(t *testing.T) {
	const app = "etc/passwd=app:x:1234:1234::/:/bin/sh\n"
	tests := []struct {
		name   string
		layers [][]string // from the bottom
		want   bool
	}{
		{"no shell anywhere", [][]string{{app, "bin/", "bin/app=x"}}, true},
		{"no shell in any of the layers", [][]string{{app}, {"usr/bin/app=x"}}, true},
		{"merged usr", [][]string{{app, "bin->usr/bin", "usr/", "usr/bin/", "usr/bin/env=x"}}, true},
		{"no layer", nil, true},
		{"bin/sh", [][]string{{app, "bin/sh=x"}}, false},
		{"a link to busybox", [][]string{{app, "bin/busybox=x", "bin/sh->busybox"}}, false},
		{"a hard link", [][]string{{app, "bin/busybox=x", "./bin/sh=>bin/busybox"}}, false},
		{"usr/bin/sh", [][]string{{app, "bin->usr/bin", "usr/bin/sh=x"}}, false},
		{"in the bottom layer", [][]string{{app, "bin/sh=x"}, {"opt/x=x"}}, false},
		{"removed by an upper layer", [][]string{{app, "bin/sh=x"}, {"bin/.wh.sh="}}, false},
		{"bin leads elsewhere", [][]string{{app, "bin->nix/store/bash/bin"}}, false},
		{"usr leads elsewhere", [][]string{{app, "usr->opt"}}, false},
		{"not all layers are read", [][]string{{"opt/x=x"}, {app}}, false},
		{"not all layers are read, nor is there such a user", [][]string{{"opt/x=x"}, {"etc/passwd=\n"}}, false},
		{"no passwd in any layer", [][]string{{"opt/x=x"}, {"opt/y=x"}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			reg := w.registry("reg.example")
			b := built{config: map[string]any{"User": "app"}}
			for _, l := range tt.layers {
				b.layers = append(b.layers, gzipped(archive(l...)))
			}
			reg.image("app", "v1", b)
			r := w.registries(Config{})
			if fact := w.one(r, configNeed("reg.example/app:v1")); fact.Platforms[0].NoShell {
				t.Error("got no shell without a look into the layers, want nothing said")
			}
			if fact := w.one(r, uidNeed("reg.example/app:v1")); fact.Platforms[0].NoShell != tt.want {
				t.Errorf("got no shell %t, want %t", fact.Platforms[0].NoShell, tt.want)
			}
		})
	}
}

func TestPasswd(t *testing.T) {
	const app, root = "etc/passwd=root:x:0:0::/:/bin/sh\napp:x:1234:1234::/:/bin/sh\n", "etc/passwd=app:x:0:0::/:/bin/sh\n"
	tests := []struct {
		name   string
		layers [][]string // from the bottom
		want   int64
		reason Reason
		blobs  int // layers read
	}{
		{"one layer", [][]string{{app}}, 1234, "", 1},
		{"the top wins", [][]string{{root}, {app}}, 1234, "", 1},
		{"the top wins, root", [][]string{{app}, {root}}, 0, "", 1},
		{"below layers without", [][]string{{app}, {"bin/sh=x"}, {"etc/", "etc/hosts=x"}}, 1234, "", 3},
		{"the last entry of a layer wins", [][]string{{app, root}}, 0, "", 1},
		{"spelled ./etc/passwd", [][]string{{root}, {"./" + app}}, 1234, "", 1},
		{"spelled /etc/passwd", [][]string{{root}, {"/" + app}}, 1234, "", 1},
		{"spelled with dots", [][]string{{root}, {"usr/../" + app}}, 1234, "", 1},
		{"alias of root", [][]string{{"etc/passwd=app:x:00:0\n"}}, 0, "", 1},
		{"uid that is no number is 0, as for runtimes", [][]string{{"etc/passwd=app:x:abc:0\n"}}, 0, "", 1},
		{"line without uid is 0", [][]string{{"etc/passwd=app\n"}}, 0, "", 1},
		{"the first line of a name wins", [][]string{{"etc/passwd=app:x:0:0\napp:x:1000:0\n"}}, 0, "", 1},
		{"blanks around, no newline at the end", [][]string{{"etc/passwd=\n\n  app:x:7:0"}}, 7, "", 1},
		{"uid of 33 bits", [][]string{{"etc/passwd=app:x:4294967296:0\n"}}, UnknownUID, InvalidUser, 1},
		{"uid of 65 bits", [][]string{{"etc/passwd=app:x:18446744073709551616:0\n"}}, UnknownUID, InvalidUser, 1},
		{"negative uid", [][]string{{"etc/passwd=app:x:-1:0\n"}}, UnknownUID, InvalidUser, 1},
		{"name is not there", [][]string{{"etc/passwd=apple:x:1:1\n#app:x:1:1\n"}}, UnknownUID, UserNotFound, 1},
		{"name is not in the layer that decides", [][]string{{app}, {"etc/passwd=\n"}}, UnknownUID, UserNotFound, 1},
		{"no file", [][]string{{"bin/sh=x"}, {"etc/group=app:x:1:\n", "usr/bin/passwd=x"}}, UnknownUID, UserNotFound, 2},
		{"no layer", nil, UnknownUID, UserNotFound, 0},
		{"whiteout", [][]string{{app}, {"etc/.wh.passwd="}}, UnknownUID, UserNotFound, 1},
		{"whiteout of the folder", [][]string{{app}, {".wh.etc="}}, UnknownUID, UserNotFound, 1},
		{"opaque folder", [][]string{{app}, {"etc/.wh..wh..opq="}}, UnknownUID, UserNotFound, 1},
		{"opaque root", [][]string{{app}, {".wh..wh..opq="}}, UnknownUID, UserNotFound, 1},
		{"opaque folder with the file in it", [][]string{{root}, {app, "etc/.wh..wh..opq="}}, 1234, "", 1},
		{"whiteout below", [][]string{{"etc/.wh.passwd="}, {app}}, 1234, "", 1},
		{"whiteout of something else", [][]string{{app}, {"etc/.wh.passwd-=", "opt/.wh..wh..opq="}}, 1234, "", 2},
		{"file and whiteout at once", [][]string{{root}, {app, "etc/.wh.passwd="}}, UnknownUID, PasswdUnreadable, 1},
		{"symbolic link", [][]string{{root}, {"etc/passwd->../tmp/passwd", "tmp/passwd=app:x:1:1\n"}}, UnknownUID, PasswdUnreadable, 1},
		{"hard link", [][]string{{root}, {"tmp/x=app:x:1:1\n", "etc/passwd=>tmp/x"}}, UnknownUID, PasswdUnreadable, 1},
		{"folder", [][]string{{"etc/passwd/"}}, UnknownUID, PasswdUnreadable, 1},
		{"etc is a link", [][]string{{app}, {"etc->tmp"}}, UnknownUID, PasswdUnreadable, 1},
		{"etc is a link in the same layer", [][]string{{"etc->tmp", app}}, UnknownUID, PasswdUnreadable, 1},
		{"2 MiB of it", [][]string{{"etc/passwd=" + strings.Repeat("a:x:1:1\n", 256<<10)}}, UnknownUID, TooLarge, 1},
	}
	for _, tt := range tests {
		for kind, pack := range map[types.MediaType]func([]byte) []byte{
			types.OCILayer: gzipped, types.OCILayerZStd: zstded, types.OCIUncompressedLayer: bytes.Clone,
		} {
			t.Run(tt.name+" "+string(kind[len(kind)-4:]), func(t *testing.T) {
				w := newWorld(t)
				reg := w.registry("reg.example")
				b := built{config: map[string]any{"User": "app:app"}, kind: kind}
				for _, l := range tt.layers {
					b.layers = append(b.layers, pack(archive(l...)))
				}
				reg.image("app", "v1", b)
				r := w.registries(Config{})
				for range 2 { // asked, then remembered
					fact := w.one(r, uidNeed("reg.example/app:v1"))
					if fact.Err != nil || len(fact.Platforms) != 1 {
						t.Fatalf("got %+v, want a platform", fact)
					}
					if p := fact.Platforms[0]; p.UID != tt.want || reasonOf(p.UIDErr) != tt.reason {
						t.Errorf("got %d, %v, want %d, %s", p.UID, p.UIDErr, tt.want, tt.reason)
					}
					w.pass(time.Minute / 2)
				}
				if n := len(reg.requests()); n != 3+tt.blobs {
					t.Errorf("got %d requests, want 3 and %d layers", n, tt.blobs)
				}
			})
		}
	}
}

func TestPasswdOnDemand(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.image("app", "named", built{config: map[string]any{"User": "app"}, layers: [][]byte{gzipped(archive("etc/passwd=app:x:7:7\n"))}})
	reg.image("app", "number", built{config: map[string]any{"User": "1000"}, layers: [][]byte{gzipped(archive("etc/passwd=app:x:7:7\n"))}})
	r := w.registries(Config{})
	steps := []struct {
		need     Need
		uid      int64
		requests int
	}{
		{uidNeed("reg.example/app:number"), 1000, 3}, // a number is what it says
		{configNeed("reg.example/app:named"), UnknownUID, 3},
		{uidNeed("reg.example/app:named"), 7, 1}, // the layer only
		{configNeed("reg.example/app:named"), 7, 0},
	}
	for i, s := range steps {
		fact := w.one(r, s.need)
		if fact.Err != nil || fact.Platforms[0].UID != s.uid || fact.Platforms[0].UIDErr != nil {
			t.Errorf("%d: got %+v, want uid %d", i, fact, s.uid)
		}
		if n := len(reg.requests()); n != s.requests {
			t.Errorf("%d: got %d requests, want %d", i, n, s.requests)
		}
	}
}

// What a layer cannot say now, it may say later; what the image says otherwise is there all the same.
func TestPasswdUnreachableForNow(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	layer := gzipped(archive("etc/passwd=app:x:7:7\n"))
	reg.image("app", "v1", built{config: map[string]any{"User": "app"}, layers: [][]byte{layer}})
	reg.script(on("GET", digestOf(layer), answer(500)))
	r := w.registries(Config{})
	for range 5 {
		fact := w.one(r, uidNeed("reg.example/app:v1"))
		if fact.Err != nil || len(fact.Platforms) != 1 || fact.Platforms[0].UID != UnknownUID || reasonOf(fact.Platforms[0].UIDErr) != Misbehaving {
			t.Fatalf("got %+v, want a platform with an unknown uid", fact)
		}
	}
	if n := len(reg.requests()); n != 4 {
		t.Errorf("got %d requests, want 4: the failure is remembered for a moment", n)
	}
	reg.script()
	w.pass(3 * time.Second)
	if p := w.one(r, uidNeed("reg.example/app:v1")).Platforms[0]; p.UID != 7 || p.UIDErr != nil {
		t.Errorf("got %d, %v, want 7", p.UID, p.UIDErr)
	}
}

func TestPasswdOfEveryPlatform(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	image := func(arch, user, passwd string) map[string]any {
		return reg.image("app", "", built{os: "linux", arch: arch, config: map[string]any{"User": user}, layers: [][]byte{gzipped(archive("etc/passwd=" + passwd))}})
	}
	reg.index("app", "v1", image("amd64", "app", "app:x:7:7\n"), image("arm64", "app", "app:x:0:0\n"), image("s390x", "9", ""), image("riscv64", "app", "x:x:1:1\n"))
	var got []string
	for _, p := range w.one(w.registries(Config{}), uidNeed("reg.example/app:v1")).Platforms {
		got = append(got, fmt.Sprintf("%s %d %s", p, p.UID, reasonOf(p.UIDErr)))
	}
	want := "linux/amd64 7 , linux/arm64 0 , linux/s390x 9 , linux/riscv64 -1 UserNotFound"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
}

// Sixty-four megabytes are for all platforms together, and what a layer is declared to have counts.
func TestT46LayersOfAllPlatforms(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	var all []map[string]any
	for i := range 3 {
		config := reg.blob("app", fmt.Appendf(nil, `{"os":"linux","architecture":"%d","config":{"User":"app"}}`, i))
		config["mediaType"] = types.OCIConfigJSON
		layer := reg.blob("app", gzipped(archive(fmt.Sprintf("etc/passwd=app:x:%d:0\n", i+1))))
		layer["mediaType"], layer["size"] = types.OCILayer, 30<<20
		all = append(all, reg.manifest("app", "", map[string]any{
			"schemaVersion": 2, "mediaType": string(types.OCIManifestSchema1), "config": config, "layers": []any{layer},
		}))
	}
	reg.index("app", "v1", all...)
	var got []string
	for _, p := range w.one(w.registries(Config{}), uidNeed("reg.example/app:v1")).Platforms {
		got = append(got, fmt.Sprint(p.UID, reasonOf(p.UIDErr)))
	}
	if want := "1 2 -1TooLarge"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, " "), want)
	}
}

func TestT46ManyLayers(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	b := built{config: map[string]any{"User": "app"}}
	for range 10 * maxLayersRead {
		b.layers = append(b.layers, []byte{})
	}
	reg.image("app", "v1", b)
	p := w.one(w.registries(Config{}), uidNeed("reg.example/app:v1")).Platforms[0]
	if n := len(reg.requests()); reasonOf(p.UIDErr) != TooLarge || n != 3+maxLayersRead {
		t.Errorf("got %v after %d requests, want TooLarge after %d", p.UIDErr, n, 3+maxLayersRead)
	}
}
