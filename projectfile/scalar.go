package projectfile

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// A scalar is a value as PyYAML's safe loader makes it: string, bool, *big.Int, float64, or nil for null.
type scalar any

// maxDigits is Python's own limit for the conversion of a text to an integer.
const maxDigits = 4300

// What PyYAML takes plain scalars to be. It reads YAML 1.1: yes is true, 010 is eight, 1:30 is ninety, and 1e3, without
// a dot, is a text.
var (
	boolPattern  = regexp.MustCompile(`^(?:(yes|Yes|YES|true|True|TRUE|on|On|ON)|no|No|NO|false|False|FALSE|off|Off|OFF)$`)
	nullPattern  = regexp.MustCompile(`^(?:~|null|Null|NULL|)$`)
	intPattern   = regexp.MustCompile(`^(?:[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	floatPattern = regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
)

// resolve is what PyYAML makes of a plain scalar.
func resolve(plain string) scalar {
	if nullPattern.MatchString(plain) {
		return nil
	}
	if m := boolPattern.FindStringSubmatch(plain); m != nil {
		return m[1] != ""
	}
	if len(plain) <= maxDigits {
		if intPattern.MatchString(plain) {
			if n, ok := yamlInt(plain); ok {
				return n
			}
		}
		if floatPattern.MatchString(plain) {
			if f, ok := yamlFloat(plain); ok {
				return f
			}
		}
	}
	return plain
}

// signed takes a sign and the underscores off.
func signed(s string) (negative bool, digits string) {
	s = strings.ReplaceAll(s, "_", "")
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		return s[0] == '-', s[1:]
	}
	return false, s
}

func yamlInt(plain string) (*big.Int, bool) {
	negative, s := signed(plain)
	n, ok := new(big.Int), true
	switch {
	case strings.Contains(s, ":"):
		for part := range strings.SplitSeq(s, ":") {
			digit, valid := new(big.Int).SetString(part, 10)
			if !valid {
				return nil, false
			}
			n.Add(n.Mul(n, big.NewInt(60)), digit)
		}
	case strings.HasPrefix(s, "0b"):
		n, ok = n.SetString(s[2:], 2)
	case strings.HasPrefix(s, "0x"):
		n, ok = n.SetString(s[2:], 16)
	case len(s) > 1 && s[0] == '0':
		n, ok = n.SetString(s, 8)
	default:
		n, ok = n.SetString(s, 10)
	}
	if ok && negative {
		n.Neg(n)
	}
	return n, ok
}

func yamlFloat(plain string) (float64, bool) {
	negative, s := signed(strings.ToLower(plain))
	f := 0.0
	switch {
	case s == ".inf":
		f = math.Inf(1)
	case s == ".nan":
		f = math.NaN()
	default:
		for part := range strings.SplitSeq(s, ":") {
			digit, err := strconv.ParseFloat(part, 64)
			if err != nil && !math.IsInf(digit, 0) {
				return 0, false
			}
			f = f*60 + digit
		}
	}
	if negative {
		f = -f
	}
	return f, true
}

// text is Python's str() of a scalar.
func text(s scalar) string {
	switch v := s.(type) {
	case string:
		return v
	case bool:
		if v {
			return "True"
		}
		return "False"
	case *big.Int:
		return v.String()
	case float64:
		return floatText(v)
	}
	return "None"
}

// floatText is Python's repr() of a float: the shortest text, with an exponent below 1e-4 and from 1e16 on.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Python's int(text, 10) and float(text) take these, once spaces at both ends are gone.
var (
	pythonInt   = regexp.MustCompile(`^[-+]?[0-9]+(?:_[0-9]+)*$`)
	pythonFloat = regexp.MustCompile(`^[-+]?(?:(?:[0-9]+(?:_[0-9]+)*\.?(?:[0-9]+(?:_[0-9]+)*)?|\.[0-9]+(?:_[0-9]+)*)(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?|(?i:inf|infinity|nan))$`)
)

// toInt is Python's int(text, 10).
func toInt(s string) (*big.Int, bool) {
	s = strings.TrimSpace(s)
	if len(s) > maxDigits || !pythonInt.MatchString(s) {
		return nil, false
	}
	negative, digits := signed(s)
	n, ok := new(big.Int).SetString(digits, 10)
	if ok && negative {
		n.Neg(n)
	}
	return n, ok
}

// toFloat is Python's float(text).
func toFloat(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if len(s) > maxDigits || !pythonFloat.MatchString(s) {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// compare is -1, 0 or 1 for two numbers; comparable is false when one is none, or not a number at all.
func compare(a, b scalar) (order int, comparable bool) {
	x, y := number(a), number(b)
	if x == nil || y == nil {
		return 0, false
	}
	return x.Cmp(y), true
}

// number is a scalar without loss, nil when it is none. Python counts True as 1; nobody means that, so it is none here.
func number(s scalar) *big.Float {
	switch v := s.(type) {
	case *big.Int:
		return new(big.Float).SetPrec(uint(max(v.BitLen(), 64))).SetInt(v)
	case float64:
		if !math.IsNaN(v) {
			return new(big.Float).SetFloat64(v)
		}
	}
	return nil
}

// equal is Python's ==, but for True == 1.
func equal(a, b scalar) bool {
	if order, ok := compare(a, b); ok {
		return order == 0
	}
	switch a.(type) {
	case string, bool:
		return a == b
	}
	return false
}
