// Package ui holds the built page of the dashboard, if it was built.
//
// In: what `make ui` wrote to built/page from the sources beside this file. Out: its files. The page is not in the repository, because most of it is of others; a program that
// is built without it says so in its place.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed all:built
var built embed.FS

// Page is the built page, or nil.
func Page() fs.FS {
	page, err := fs.Sub(built, "built/page")
	if err != nil {
		return nil
	}
	if _, err := fs.Stat(page, "index.html"); err != nil {
		return nil
	}
	return page
}
