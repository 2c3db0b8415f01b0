package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// noArgs is for commands that take none.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, and %q is one; %[1]s --help says what it takes", c.CommandPath(), args[0])
	}
	return nil
}

// oneWorkload is for commands that look at a workload, or at something else that flags name.
func oneWorkload(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%s looks at one workload, and %d are named: %s", c.CommandPath(), len(args), strings.Join(args, ", "))
	}
	return nil
}

// theCommand is for commands that run another one, which comes after "--".
func theCommand(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("the command to run is missing; write it after --, as in heddle run --name hello --port 9000 -- python3 -m http.server 9000")
	}
	return nil
}

// group is a command that only has others below it: a word that none of them is named is a mistake.
func group(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		var names []string
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		return fmt.Errorf("%s has no %q; use one of %s", c.CommandPath(), args[0], strings.Join(names, ", "))
	}
	return c
}

// goWords are words of Go's library in the errors of flags.
var goWords = regexp.MustCompile(`(strconv|time)\.?\w*: (parsing "[^"]*": )?`)

// flagError says where the flags of a command are told.
func flagError(c *cobra.Command, err error) error {
	return fmt.Errorf("%s; %s --help lists the flags", goWords.ReplaceAllString(err.Error(), ""), c.CommandPath())
}

// withScheme takes HOST:PORT for a URL.
func withScheme(address string) string {
	if strings.Contains(address, "://") {
		return address
	}
	return "http://" + address
}
