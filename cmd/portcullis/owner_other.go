//go:build !unix

package main

import "os"

// keepOwner does nothing where files have no owner to keep.
func keepOwner(*os.File, os.FileInfo) error { return nil }
