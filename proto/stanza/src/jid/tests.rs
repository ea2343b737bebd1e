use std::collections::{BTreeMap, HashMap};
use std::mem::size_of;

use proptest::prelude::*;

use super::*;

fn jid(text: &str) -> Jid {
    Jid::new(text).unwrap()
}

//= test RFC 7622 §3.5
#[test]
fn every_valid_address_has_one_canonical_form() {
    for (text, canonical) in [
        // The examples of the specification.
        ("juliet@example.com", "juliet@example.com"),
        ("juliet@example.com/foo", "juliet@example.com/foo"),
        ("juliet@example.com/foo bar", "juliet@example.com/foo bar"),
        ("juliet@example.com/foo@bar", "juliet@example.com/foo@bar"),
        ("foo\\20bar@example.com", "foo\\20bar@example.com"),
        ("fussball@example.com", "fussball@example.com"),
        ("fu\u{df}ball@example.com", "fu\u{df}ball@example.com"),
        ("\u{3c0}@example.com", "\u{3c0}@example.com"),
        ("\u{3a3}@example.com/foo", "\u{3c3}@example.com/foo"),
        ("\u{3c3}@example.com/foo", "\u{3c3}@example.com/foo"),
        ("\u{3c2}@example.com/foo", "\u{3c2}@example.com/foo"),
        ("king@example.com/\u{265a}", "king@example.com/\u{265a}"),
        ("example.com", "example.com"),
        ("example.com/foobar", "example.com/foobar"),
        ("a.example.com/b@example.net", "a.example.com/b@example.net"),
        // Case, width and composition.
        ("JULIET@Example.COM/Balcony", "juliet@example.com/Balcony"),
        ("\u{ff2a}uliet@example.com", "juliet@example.com"),
        ("ju\u{301}liet@example.com/e\u{301}", "j\u{fa}liet@example.com/\u{e9}"),
        ("x@example.com/a\u{a0}b", "x@example.com/a b"),
        // Domains.
        ("juliet@example.com.", "juliet@example.com"),
        ("localhost", "localhost"),
        ("x@b\u{fc}cher.example", "x@b\u{fc}cher.example"),
        ("x@xn--bcher-kva.example", "x@b\u{fc}cher.example"),
        ("x@XN--BCHER-KVA.example", "x@b\u{fc}cher.example"),
        ("x@B\u{dc}CHER.Example/r", "x@b\u{fc}cher.example/r"),
        ("x@b\u{fc}cher\u{3002}example\u{3002}", "x@b\u{fc}cher.example"),
        ("x@192.0.2.7", "x@192.0.2.7"),
        ("x@[2001:DB8::1]/r", "x@[2001:db8::1]/r"),
        ("[::1]", "[::1]"),
        // Only the first of each separator counts.
        ("example.com/a/b", "example.com/a/b"),
        ("example.com/@", "example.com/@"),
        ("a@example.com//", "a@example.com//"),
        // What came into Unicode after the PRECIS tables were made.
        ("room@muc.example/\u{1f916}", "room@muc.example/\u{1f916}"),
    ] {
        assert_eq!(jid(text), canonical, "{text}");
    }
}

//= test RFC 7622 §3.5
#[test]
fn what_is_not_an_address_is_refused_for_the_right_reason() {
    use JidError::*;
    for (text, error) in [
        ("\"juliet\"@example.com", LocalInvalid),
        ("foo bar@example.com", LocalInvalid),
        ("juliet@example.com/ foo", ResourceInvalid),
        ("juliet@example.com/\u{3000}foo", ResourceInvalid),
        ("@example.com/", LocalEmpty),
        ("henry\u{2163}@example.com", LocalInvalid),
        ("\u{265a}@example.com", LocalInvalid),
        ("juliet@", DomainEmpty),
        ("/foobar", DomainEmpty),
        ("", DomainEmpty),
        ("@", LocalEmpty),
        ("@example.com", LocalEmpty),
        ("example.com/", ResourceEmpty),
        ("juliet@/foo", DomainEmpty),
        ("juliet@.", DomainEmpty),
        ("juliet@example.com..", DomainEmpty),
        ("juliet@.example.com", DomainEmpty),
        ("juliet@example..com", DomainEmpty),
        ("juliet@b\u{fc}cher\u{3002}\u{3002}example", DomainEmpty),
        ("a@b@example.com", DomainInvalid),
        ("juliet@-example.com", DomainInvalid),
        ("juliet@example-.com", DomainInvalid),
        ("juliet@exa mple.com", DomainInvalid),
        ("juliet@exa_mple.com", DomainInvalid),
        ("juliet@example.com:5222", DomainInvalid),
        ("juliet@xn--\u{fc}.example", DomainInvalid),
        ("juliet@xn--a.example", DomainInvalid),
        ("juliet@[::1", DomainInvalid),
        ("juliet@[::1]x", DomainInvalid),
        ("juliet@[fe80::1%25eth0]", DomainInvalid),
        ("juliet@[]", DomainInvalid),
        ("juliet@::1", DomainInvalid),
        ("juliet@[192.0.2.7]", DomainInvalid),
        // Their canonical form would be no address.
        ("\u{13a0}@example.com", LocalInvalid),
        ("example.com/a\u{387}", ResourceInvalid),
        ("ju\u{7f}liet@example.com", LocalInvalid),
        ("ju\0liet@example.com", LocalInvalid),
        ("ju\u{200b}liet@example.com", LocalInvalid),
        ("juliet@example.com/a\tb", ResourceInvalid),
        ("juliet@example.com/a\nb", ResourceInvalid),
        ("juliet@example.com/a\u{200b}b", ResourceInvalid),
        ("juliet@example.com/a\u{fdd0}b", ResourceInvalid),
        ("juliet@example.com/a\u{e000}b", ResourceInvalid),
    ] {
        assert_eq!(Jid::new(text), Err(error), "{text:?}");
    }
}

//= test RFC 7622 §3.3.1
#[test]
fn forbidden_characters_are_refused_in_every_width() {
    for c in "\"&'/:<>@ ".chars() {
        let text = format!("a{c}b");
        let wide: String = text.chars().map(widened).collect();
        assert_eq!(BareJid::from_parts(Some(&text), "example.com"), Err(JidError::LocalInvalid));
        assert_eq!(BareJid::from_parts(Some(&wide), "example.com"), Err(JidError::LocalInvalid));
    }
}

/// The full-width form of a printable ASCII character.
fn widened(c: char) -> char {
    match c {
        ' ' => '\u{3000}',
        c => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
    }
}

#[test]
fn each_part_has_1023_octets_at_most() {
    let labels = |octets: usize| {
        let mut name = "a".repeat(octets);
        for at in (1..octets / 64 + 1).map(|n| n * 64 - 1).filter(|at| at + 1 < octets) {
            name.replace_range(at..=at, ".");
        }
        name
    };
    for (octets, fits) in [(1022, true), (1023, true), (1024, false)] {
        let (part, domain) = ("a".repeat(octets), labels(octets));
        assert_eq!(domain.len(), octets);
        let local = Jid::new(&format!("{part}@example.com"));
        let resource = Jid::new(&format!("example.com/{part}"));
        let domain = Jid::new(&domain);
        if fits {
            assert_eq!(local.unwrap().local().unwrap().len(), octets);
            assert_eq!(resource.unwrap().resource().unwrap().len(), octets);
            assert_eq!(domain.unwrap().domain().len(), octets);
        } else {
            assert_eq!(local, Err(JidError::LocalTooLong));
            assert_eq!(resource, Err(JidError::ResourceTooLong));
            assert_eq!(domain, Err(JidError::DomainTooLong));
        }
    }
}

#[test]
fn octets_are_counted_in_the_canonical_form() {
    // Three octets each as they come, two each when composed.
    let text = "e\u{301}".repeat(511);
    assert_eq!(jid(&format!("{text}@example.com")).local().map(str::len), Some(1022));
    assert_eq!(jid(&format!("example.com/{text}")).resource().map(str::len), Some(1022));
    let text = "e\u{301}".repeat(512);
    assert_eq!(Jid::new(&format!("{text}@example.com")), Err(JidError::LocalTooLong));
    assert_eq!(Jid::new(&format!("example.com/{text}")), Err(JidError::ResourceTooLong));
}

#[test]
fn a_label_has_63_octets_at_most() {
    for (octets, fits) in [(62, true), (63, true), (64, false)] {
        let name = format!("{}.example", "a".repeat(octets));
        assert_eq!(Jid::new(&name).is_ok(), fits, "{octets}");
    }
    assert_eq!(Jid::new(&"\u{fc}".repeat(63)), Err(JidError::DomainTooLong));
}

#[test]
fn characters_that_depend_on_others_have_a_bound() {
    for (count, fits) in [(63, true), (64, true), (65, false)] {
        let part = format!("{}l", "l\u{b7}".repeat(count));
        assert_eq!(Jid::new(&format!("{part}@x")).is_ok(), fits, "{count}");
        assert_eq!(Jid::new(&format!("x/{part}")).is_ok(), fits, "{count}");
    }
}

#[test]
fn the_parts_are_found() {
    let full = jid("juliet@example.com/balcony/2@x");
    assert_eq!(full.local(), Some("juliet"));
    assert_eq!(full.domain(), "example.com");
    assert_eq!(full.resource(), Some("balcony/2@x"));
    assert_eq!(full.bare(), "juliet@example.com");
    assert_eq!(full.bare().local(), Some("juliet"));
    assert_eq!(full.bare().domain(), "example.com");
    assert_eq!(full.bare_str(), "juliet@example.com");
    assert_eq!(full.to_domain(), "example.com");
    assert_eq!(full.to_full().unwrap().resource(), "balcony/2@x");
    assert_eq!(full.bare().with_resource("garden").unwrap(), "juliet@example.com/garden");

    let domain = jid("example.com/x");
    assert_eq!((domain.local(), domain.domain()), (None, "example.com"));
    assert!(domain.bare().is_domain());
    assert_eq!(domain.to_domain(), "example.com");
    assert!(Jid::from(domain.bare()).is_domain());
    assert_eq!(Jid::from(full.bare()).resource(), None);
    assert_eq!(Jid::from(full.bare()).to_full(), None);
}

#[test]
fn bare_and_full_are_told_apart() {
    assert_eq!(BareJid::new("a@b/c"), Err(JidError::ResourceUnexpected));
    assert_eq!(FullJid::new("a@b"), Err(JidError::ResourceMissing));
    assert_eq!(FullJid::try_from(jid("a@b")), Err(JidError::ResourceMissing));
    assert_eq!(BareJid::try_from(jid("a@b/c")), Err(JidError::ResourceUnexpected));
    assert_eq!(FullJid::from_parts(Some("A"), "B.", "C").unwrap(), "a@b/C");
    assert_eq!(BareJid::from_parts(None, "b").unwrap(), "b");
    assert_eq!(BareJid::from_parts(Some("a@b"), "c"), Err(JidError::LocalInvalid));
    assert_eq!(BareJid::from_parts(Some("a"), "b/c"), Err(JidError::DomainInvalid));
}

#[test]
fn a_bare_address_is_the_same_key_however_it_was_made() {
    let made = jid("juliet@example.com/balcony").bare();
    let read = BareJid::new("juliet@example.com").unwrap();
    let hashed: HashMap<BareJid, u8> = [(made.clone(), 1)].into();
    let sorted: BTreeMap<BareJid, u8> = [(made.clone(), 1)].into();
    assert_eq!(made, read);
    assert_eq!(hashed.get(&read), Some(&1));
    assert_eq!(hashed.get("juliet@example.com"), Some(&1));
    assert_eq!(sorted.get(&read), Some(&1));
    assert_eq!(sorted.get("juliet@example.com"), Some(&1));
}

#[test]
fn an_address_is_small_and_its_bare_form_shares_the_text() {
    assert_eq!(size_of::<Jid>(), 24);
    assert_eq!(size_of::<Option<FullJid>>(), 24);
    let full = jid("juliet@example.com/balcony");
    assert_eq!(full.bare().as_str().as_ptr(), full.as_str().as_ptr());
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._-]{1,12}",
        "[ -~]{0,12}",
        "[\u{a0}-\u{2ff}\u{370}-\u{3ff}\u{5d0}-\u{5ea}\u{1e00}-\u{1fff}]{1,8}",
        "[\u{2100}-\u{218f}\u{3000}-\u{30ff}\u{ac00}-\u{ac40}\u{ff00}-\u{ffef}]{1,8}",
        "\\PC{0,8}",
    ]
}

fn domain() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9-]{1,8}(\\.[a-z0-9]{1,8}){0,3}\\.?",
        "(xn--)?[a-z0-9-]{1,12}\\.example",
        "[a-z\u{a0}-\u{2ff}\u{370}-\u{3ff}\u{3002}\u{ff00}-\u{ff60}]{1,8}\\.example",
        part(),
    ]
}

proptest! {
    #[test]
    fn the_canonical_form_is_its_own_canonical_form(
        local in proptest::option::of(part()),
        domain in domain(),
        resource in proptest::option::of(part()),
    ) {
        let text = join(local.as_deref(), &domain, resource.as_deref());
        if let Ok(once) = Jid::new(&text) {
            let twice = Jid::new(once.as_str());
            prop_assert_eq!(twice.as_ref(), Ok(&once));
            let twice = twice.unwrap();
            prop_assert_eq!(twice.local(), once.local());
            prop_assert_eq!(twice.domain(), once.domain());
            prop_assert_eq!(twice.resource(), once.resource());
        }
    }

    #[test]
    fn parts_that_are_joined_are_found_again(
        local in proptest::option::of(part()),
        domain in domain(),
        resource in part(),
    ) {
        if let Ok(full) = FullJid::from_parts(local.as_deref(), &domain, &resource) {
            let read = FullJid::new(full.as_str());
            prop_assert_eq!(read.as_ref(), Ok(&full));
            let read = read.unwrap();
            prop_assert_eq!(read.local(), full.local());
            prop_assert_eq!(read.domain(), full.domain());
            prop_assert_eq!(read.resource(), full.resource());
            prop_assert_eq!(read.bare(), full.bare());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = Jid::new(&text);
    }
}
