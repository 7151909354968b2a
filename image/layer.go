package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// dockerZstdLayer is Docker's name for a layer that go-containerregistry knows only by its OCI name.
const dockerZstdLayer types.MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"

// layer is what one layer says about /etc/passwd, and about /bin/sh.
type layer struct {
	content  []byte // of the last entry, if that is a regular file
	written  bool   // there is an entry
	regular  bool   // and it is a regular file
	removed  bool   // whiteout of the file, or of /etc
	opaque   bool   // /etc, or the root, hides what is below
	replaced bool   // /etc is no directory
	shell    bool   // there may be a /bin/sh
}

// file is where /etc/passwd is, seen from one layer.
type file int

const (
	fileBelow file = iota // if anywhere
	fileFound
	fileHidden // nowhere: this layer hides it
	fileUnreadable
)

func (l *layer) passwd() file {
	switch {
	case l.replaced, l.written && !l.regular, l.written && l.removed: // runtimes differ on a file that its own layer removes
		return fileUnreadable
	case l.written:
		return fileFound
	case l.removed, l.opaque:
		return fileHidden
	}
	return fileBelow
}

// scanLayer reads packed, unpacked through bounded, to the end of the archive. The compression is told by the first bytes, as
// containerd does it, and not by the media type.
func scanLayer(bounded *boundedReader, packed io.Reader) (*layer, error) {
	buffered := bufio.NewReaderSize(packed, 32<<10)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	bounded.Reader = buffered
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		bounded.Reader = unpacked
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unpacked, err := zstd.NewReader(buffered,
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, err
		}
		defer unpacked.Close()
		bounded.Reader = unpacked
	}
	return scanArchive(tar.NewReader(bounded))
}

func scanArchive(archive *tar.Reader) (*layer, error) {
	l := &layer{}
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return nil, err
		}
		switch path.Clean("/" + h.Name) {
		case "/etc/passwd":
			if err := l.read(h, archive); err != nil {
				return nil, err
			}
		case "/etc":
			l.replaced = l.replaced || h.Typeflag != tar.TypeDir
		case "/.wh.etc", "/etc/.wh.passwd":
			l.removed = true
		case "/.wh..wh..opq", "/etc/.wh..wh..opq":
			l.opaque = true
		case "/bin/sh", "/usr/bin/sh":
			l.shell = true
		case "/bin", "/usr", "/usr/bin":
			l.shell = l.shell || h.Typeflag != tar.TypeDir && !mergedUsr(h)
		}
	}
}

// mergedUsr reports whether h is the /bin of a distribution whose programs are all in /usr/bin. A link to anywhere else may lead to a
// shell.
func mergedUsr(h *tar.Header) bool {
	return path.Clean("/"+h.Name) == "/bin" && h.Typeflag == tar.TypeSymlink && path.Clean("/"+h.Linkname) == "/usr/bin"
}

func (l *layer) read(h *tar.Header, r io.Reader) (err error) {
	l.written, l.regular = true, h.Typeflag == tar.TypeReg
	if h.Size > maxPasswd {
		return &failure{reason: TooLarge}
	}
	l.content, err = io.ReadAll(r)
	return err
}

// boundedReader fails when more than what is left of a bound is read.
type boundedReader struct {
	io.Reader
	left *int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if *b.left <= 0 {
		return 0, &failure{reason: TooLarge}
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), *b.left)])
	*b.left -= int64(n)
	return n, err
}

// lookupUser finds the uid of name in an /etc/passwd as runtimes read it: the first line of that name, and 0 for a uid that is
// missing or no number.
func lookupUser(passwd []byte, name string) (int64, error) {
	for line := range bytes.Lines(passwd) {
		fields := strings.Split(string(bytes.TrimSpace(line)), ":")
		if fields[0] != name {
			continue
		}
		if len(fields) < 3 {
			return 0, nil
		}
		uid, err := strconv.ParseInt(fields[2], 10, 64)
		switch {
		case isRange(err) || uid < 0 || uid > math.MaxInt32:
			return UnknownUID, &failure{reason: InvalidUser}
		case err != nil:
			return 0, nil
		}
		return uid, nil
	}
	return UnknownUID, &failure{reason: UserNotFound}
}

func isRange(err error) bool { return errors.Is(err, strconv.ErrRange) }
