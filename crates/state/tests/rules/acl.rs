//! ACLs and identities: rules 37–40 of COMPATIBILITY.md.

use crate::world::World;
use state::command::Features;

#[test]
fn rule_37_acls_that_are_refused_or_expanded() {
    World::new().play(
        "1: create /a x none                        => InvalidACL
         1: create /a x null                        => InvalidACL
         1: create /a x auth::r                     => InvalidACL
         1: create /a x world:me:r                  => InvalidACL
         1: create /a x sasl:me:r                   => InvalidACL
         1: create /a x digest:me:r                 => InvalidACL
         1: create /a x ip:1.2.3:r                  => InvalidACL
         1: auth u:p                                => ok
         1: auth v:q                                => ok
         1: create /a x auth:ignored:ra,world:anyone:c,world:anyone:c => /a
         1: getacl /a => digest:u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=:ra,digest:v:Mfy8apI9YguGKmh+AxUmAFSwkII=:ra,world:anyone:c",
    );
}

#[test]
fn rule_38_super_passes_every_check() {
    World::new().play(
        "1: auth u:p                                => ok
         1: create /a x auth::r                     => /a
         2: set /a x                                => NoAuth
         2: auth super:wrong                        => ok
         2: set /a x                                => NoAuth
         2: auth super:test                         => ok
         2: set /a x                                => v1
         2: setacl /a world:anyone:r                => a1
         2: whoami                                  => ip:127.0.0.1 digest:super super: digest:super",
    );
}

#[test]
fn rule_39_which_permission_each_operation_needs() {
    World::new().play(
        "1: auth u:p                                => ok
         1: create /r x world:anyone:r,auth::a      => /r
         1: create /w x world:anyone:w,auth::a      => /w
         1: create /c x world:anyone:c              => /c
         1: create /d x world:anyone:d,auth::c      => /d
         1: create /d/x                             => /d/x
         1: create /a x world:anyone:a              => /a
         2: get /r                                  => x
         2: ls /r                                   => []
         2: exists /w                               => NoAuth
         2: get /w                                  => NoAuth
         2: ls2 /w                                  => NoAuth
         2: count /w                                => NoAuth
         2: set /w y                                => v1
         2: set /r y                                => NoAuth
         2: create /c/x                             => /c/x
         2: create /r/x                             => NoAuth
         2: delete /c/x                             => NoAuth
         2: delete /d/x                             => ok
         2: setacl /r world:anyone:r                => NoAuth
         2: multi check /w 0                        => NoAuth
         # getACL needs READ or ADMIN, and shows hashes only with ADMIN
         2: getacl /w                               => NoAuth
         2: getacl /r                               => world:anyone:r,digest:u:x:a
         1: getacl /r                               => world:anyone:r,digest:u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=:a
         2: getacl /a                               => world:anyone:a
         2: setacl /a world:anyone:r 0              => a1",
    );
}

#[test]
fn rule_40_addresses() {
    World::new().play(
        "1: create /near x ip:127.0.0.0/8:r         => /near
         1: create /far x ip:10.0.0.0/8:r           => /far
         1: get /near                               => x
         1: get /far                                => NoAuth
         1: whoami                                  => ip:127.0.0.1",
    );
}

#[test]
fn skip_acl_disables_checks_but_still_refuses_invalid_acls() {
    let mut world = World::new();
    world.play("1: create /a x digest:u:h:r => /a");
    world.features = Features::SKIP_ACL;
    world.play(
        "2: set /a y                                => v1
         2: getacl /a                               => digest:u:h:r
         2: create /b x none                        => InvalidACL",
    );
}
