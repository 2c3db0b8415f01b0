package cli_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/heddle-mesh/heddle/cli"
)

// TestMain lets the test binary be heddle, so that scripts in testdata/script call it as users do.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"heddle": heddle})
}

func heddle() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	env := cli.Env{Version: "v1.2.3", Self: self, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, RunDir: os.Getenv("WORK") + "/run", Environ: os.Environ(),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	err = cli.Root(env).Execute()
	var exit cli.ExitCode
	switch {
	case errors.As(err, &exit):
		os.Exit(int(exit))
	case err != nil:
		fmt.Fprintln(os.Stderr, "heddle:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}
