package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// waitCommand is for the hooks of containers: an image of ours has no shell.
func waitCommand(ctx context.Context) *cobra.Command {
	var url string
	var timeout, pause time.Duration
	cmd := &cobra.Command{
		Use: "wait --url URL | --for TIME", Short: "Wait until a page answers 200, or for some time", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			switch {
			case (url == "") == (pause == 0):
				return errors.New("wait: give one of --url and --for")
			case pause < 0 || timeout <= 0:
				return errors.New("wait: --for and --timeout want a positive time")
			case pause > 0:
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
				return nil
			}
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return answered(ctx, url)
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "page to ask for")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "the longest time to wait for the page")
	cmd.Flags().DurationVar(&pause, "for", 0, "time to wait")
	return cmd
}

// answered asks until the answer is 200; its error says what the last answer was.
func answered(ctx context.Context, url string) error {
	client := &http.Client{Timeout: 2 * time.Second}
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		answer, err := client.Do(r)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s answers %s", url, answer.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait: gave up: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
