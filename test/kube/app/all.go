package main

import (
	"fmt"
	"strings"
	"sync"
)

// all asks URLs at the same time, and prints the answers in the order of the URLs.
func all(urls []string) error {
	lines := make([]string, len(urls))
	var group sync.WaitGroup
	for i, url := range urls {
		group.Go(func() {
			status, body := get(url)
			lines[i] = fmt.Sprint(status, " ", body)
		})
	}
	group.Wait()
	_, err := fmt.Println(strings.Join(lines, "\n"))
	return err
}
