package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// echo answers each datagram with the version and the pod.
func echo(address string) error {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	go func() {
		b := make([]byte, 1500)
		for {
			_, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte(os.Getenv("VERSION")+" "+host), from) // nobody waits for it any more, else
		}
	}()
	return nil
}

// ask asks all of them from one socket, and prints who answers to whom; whoever answers from another address has not answered.
func ask(all []string) error {
	c, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return err
	}
	b := make([]byte, 1500)
	for _, name := range all {
		to, err := net.ResolveUDPAddr("udp", name)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo([]byte("?"), to); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		n, from, err := c.ReadFrom(b)
		if err != nil {
			fmt.Println(name, "nobody")
			continue
		}
		if got := from.(*net.UDPAddr).AddrPort(); netip.AddrPortFrom(got.Addr().Unmap(), got.Port()) != to.AddrPort() {
			fmt.Println(name, "another:", from)
			continue
		}
		fmt.Println(name, string(b[:n]))
	}
	return nil
}
