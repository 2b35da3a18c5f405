package egress

import (
	"net/netip"
	"testing"
)

// FACTS G2 and G6, in every coat that an address can wear.
func TestP18ClassesOfAddresses(t *testing.T) {
	for text, want := range map[string]Rule{
		"20.0.0.1": "", "1.1.1.1": "", "2606:4700::1111": "", "172.15.255.255": "", "172.32.0.0": "", "100.63.255.255": "", "100.128.0.0": "", "223.255.255.255": "",

		"169.254.169.254": RuleMetadata, "169.254.170.2": RuleMetadata, "169.254.170.23": RuleMetadata, "fd00:ec2::254": RuleMetadata, "fd00:ec2::23": RuleMetadata,
		"168.63.129.16": RuleMetadata, "100.100.100.200": RuleMetadata, "192.0.0.192": RuleMetadata, "fd20:ce::254": RuleMetadata,
		"::ffff:169.254.169.254": RuleMetadata, "64:ff9b::169.254.169.254": RuleMetadata, "2002:a9fe:a9fe::1": RuleMetadata,
		"::169.254.169.254": RuleMetadata, "::ffff:0:169.254.169.254": RuleMetadata, "64:ff9b::100.100.100.200": RuleMetadata, "64:ff9b:1::169.254.169.254": RuleMetadata,

		"127.0.0.1": RuleLoopback, "127.255.255.254": RuleLoopback, "::1": RuleLoopback, "::ffff:127.0.0.1": RuleLoopback, "64:ff9b::127.0.0.1": RuleLoopback, "2002:7f00:1::": RuleLoopback,
		"169.254.1.1": RuleLinkLocal, "fe80::1": RuleLinkLocal, "ff02::1": RuleLinkLocal, "ff01::1": RuleLinkLocal, "224.0.0.251": RuleLinkLocal, "64:ff9b::169.254.1.1": RuleLinkLocal,
		"0.0.0.0": RuleSpecial, "0.1.2.3": RuleSpecial, "::": RuleSpecial, "255.255.255.255": RuleSpecial, "240.0.0.1": RuleSpecial, "239.1.1.1": RuleSpecial, "ff0e::1": RuleSpecial,
		"192.0.2.1": RuleSpecial, "203.0.113.9": RuleSpecial, "192.0.0.8": RuleSpecial, "2001:db8::1": RuleSpecial, "2001::1": RuleSpecial, "100::1": RuleSpecial, "::ffff:0.0.0.0": RuleSpecial,

		"10.0.0.1": RulePrivate, "172.16.0.1": RulePrivate, "172.31.255.255": RulePrivate, "192.168.1.1": RulePrivate, "100.64.0.1": RulePrivate, "100.127.255.255": RulePrivate,
		"198.18.0.1": RulePrivate, "fd12::1": RulePrivate, "fc00::1": RulePrivate, "fec0::1": RulePrivate, "::ffff:10.0.0.1": RulePrivate, "64:ff9b::10.0.0.1": RulePrivate, "2002:0a00:1::": RulePrivate,
	} {
		if got := classOf(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if classOf(netip.Addr{}) != RuleSpecial {
		t.Error("no address at all")
	}
}

func TestP18WhatListsOpen(t *testing.T) {
	for _, test := range []struct {
		networks, listed []string
		host, address    string
		port             uint16
		want             Rule
	}{
		{nil, nil, "a.example.com", "10.1.2.3", 443, RulePrivate},
		{[]string{"10.0.0.0/8"}, nil, "a.example.com", "10.1.2.3", 443, ""},
		{[]string{"10.1.0.0/16"}, nil, "a.example.com", "10.2.2.3", 443, RulePrivate},
		{[]string{"10.0.0.0/8"}, nil, "a.example.com", "::ffff:10.1.2.3", 443, ""},
		{[]string{"10.0.0.0/8"}, nil, "a.example.com", "64:ff9b::10.1.2.3", 443, ""},
		{[]string{"fd12::/16"}, nil, "a.example.com", "fd12::5", 443, ""},
		{[]string{"100.64.0.0/10"}, nil, "a.example.com", "100.64.0.5", 443, ""},
		// No list opens what is nobody's private network.
		{[]string{"0.0.0.0/0", "::/0"}, nil, "a.example.com", "127.0.0.1", 443, RuleLoopback},
		{[]string{"0.0.0.0/0", "::/0"}, nil, "a.example.com", "169.254.169.254", 443, RuleMetadata},
		{[]string{"100.64.0.0/10", "fc00::/7"}, nil, "a.example.com", "100.100.100.200", 443, RuleMetadata},
		{[]string{"fc00::/7"}, nil, "a.example.com", "fd00:ec2::254", 443, RuleMetadata},
		{[]string{"0.0.0.0/0", "::/0"}, nil, "a.example.com", "169.254.1.1", 443, RuleLinkLocal},
		{[]string{"0.0.0.0/0", "::/0"}, nil, "a.example.com", "0.0.0.0", 443, RuleSpecial},
		// A literal lists itself, with its port, under its own name.
		{nil, []string{"127.0.0.1:5000"}, "127.0.0.1", "127.0.0.1", 5000, ""},
		{nil, []string{"127.0.0.1:5000"}, "127.0.0.1", "127.0.0.1", 5001, RuleLoopback},
		{nil, []string{"127.0.0.1:5000"}, "127.0.0.2", "127.0.0.2", 5000, RuleLoopback},
		{nil, []string{"127.0.0.1:5000"}, "rebound.example.com", "127.0.0.1", 5000, RuleLoopback},
		{nil, []string{"localhost:5000"}, "localhost", "127.0.0.1", 5000, ""},
		{nil, []string{"localhost:5000"}, "localhost", "::1", 5000, ""},
		{nil, []string{"localhost:5000"}, "localhost", "10.0.0.1", 5000, RulePrivate},
		{nil, []string{"localhost:5000"}, "127.0.0.1", "127.0.0.1", 5000, RuleLoopback},
		{nil, []string{"10.0.0.5"}, "10.0.0.5", "10.0.0.5", 443, ""},
		{nil, []string{"10.0.0.5"}, "10.0.0.5", "10.0.0.5", 8443, RulePrivate},
		{nil, []string{"[::1]:5000"}, "::1", "::1", 5000, ""},
		{nil, []string{"[fd12::1]:5000"}, "fd12::1", "fd12::1", 5000, ""},
		{nil, []string{"169.254.169.254"}, "169.254.169.254", "169.254.169.254", 443, RuleMetadata},
		{nil, []string{"169.254.1.1"}, "169.254.1.1", "169.254.1.1", 443, RuleLinkLocal},
		{nil, []string{"0.0.0.0:5000"}, "0.0.0.0", "0.0.0.0", 5000, RuleSpecial},
		// A name in match that happens to resolve to a private address does not open it.
		{nil, []string{"registry.corp.example"}, "registry.corp.example", "10.0.0.5", 443, RulePrivate},
		{nil, []string{"registry.corp.example"}, "registry.corp.example", "127.0.0.1", 443, RuleLoopback},
	} {
		r, err := Rules{Host: "a.example.com", PrivateNetworks: test.networks, Listed: test.listed}.compile()
		if err != nil {
			t.Fatal(err)
		}
		var got Rule
		if e := r.mayDial(test.host, test.port, netip.MustParseAddr(test.address)); e != nil {
			got = e.Rule
		}
		if got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

// A realm that is private by its text lists itself, at the port that it is asked at: of a registry without TLS too, where
// what Listed leaves out is another port.
func TestRealmsListThemselves(t *testing.T) {
	for _, plain := range []bool{false, true} {
		r, err := Rules{Host: "10.0.0.4:5000", PlainHTTP: plain, Realms: []string{"10.0.0.5", "127.0.0.1:8443", "auth.corp.example"}}.compile()
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			host, address string
			port          uint16
			open          bool
		}{
			{"10.0.0.5", "10.0.0.5", 443, true}, {"127.0.0.1", "127.0.0.1", 8443, true},
			{"10.0.0.5", "10.0.0.5", 80, false}, {"127.0.0.1", "127.0.0.1", 443, false}, {"auth.corp.example", "10.0.0.5", 443, false},
		} {
			if e := r.mayDial(test.host, test.port, netip.MustParseAddr(test.address)); (e == nil) != test.open {
				t.Errorf("plain HTTP %v, %+v: %v", plain, test, e)
			}
		}
	}
}
