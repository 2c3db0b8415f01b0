// Command echo serves test/lab's echo server on an address, for suites that need an upstream which reads a whole request before it answers.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/heddle-mesh/heddle/test/lab"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: echo ADDRESS")
		os.Exit(2)
	}
	l, err := net.Listen("tcp", os.Args[1])
	if err == nil {
		err = http.Serve(l, &lab.Echo{Name: "echo"})
	}
	fmt.Fprintln(os.Stderr, "echo:", err)
	os.Exit(1)
}
