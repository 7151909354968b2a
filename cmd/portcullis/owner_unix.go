//go:build unix

package main

import (
	"os"
	"syscall"
)

// keepOwner gives a new file the owner of the one that it replaces: who runs as root
// in a folder of somebody else's would take the file away from them.
func keepOwner(file *os.File, old os.FileInfo) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	want, wanted := old.Sys().(*syscall.Stat_t)
	have, known := info.Sys().(*syscall.Stat_t)
	if !wanted || !known || want.Uid == have.Uid && want.Gid == have.Gid {
		return nil
	}
	return file.Chown(int(want.Uid), int(want.Gid))
}
