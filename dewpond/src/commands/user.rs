//! `dewpond user`: adds, lists and removes the people who can sign in.

use accounts::{NewPerson, Service};
use anyhow::Context;
use chrono::Utc;
use clap::{Subcommand, ValueEnum};
use engine::text_table;
use lake::{Accounts, Lake, Role, User};
use serde_json::{Value, json};

use crate::lake_flags::Output;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Add somebody, and print a password for the first sign-in: it is shown only once.
    Add {
        /// The e-mail address.
        email: String,
        /// What others read; what is before the @ if not given.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// The organisation, by its id or its name. For an owner it is made if there is none. Without it the person gets a
        /// new one.
        #[arg(long, value_name = "NAME")]
        organisation: Option<String>,
        /// What the person is there.
        #[arg(long, value_enum, default_value_t = RoleName::Owner)]
        role: RoleName,
        #[command(flatten)]
        output: Output,
    },
    /// List the people and what they are in which organisation.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Give somebody who forgot it another password, and print it. All sign-ins of the person end.
    ResetPassword {
        /// The e-mail address.
        email: String,
        #[command(flatten)]
        output: Output,
    },
    /// Remove somebody. All sign-ins of the person end.
    Remove {
        /// The e-mail address.
        email: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Owner,
    Editor,
    Viewer,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Owner => Self::Owner,
            RoleName::Editor => Self::Editor,
            RoleName::Viewer => Self::Viewer,
        }
    }
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    match flags.command {
        Command::Add { email, name, organisation, role, output } => {
            let lake = output.lake.open_for_writing().await?;
            let password = first_password(&lake);
            let new = NewPerson { email, name, password: Some(password.clone()) };
            let organisation = organisation.as_deref().map(|named| (named, role.into()));
            let user = Service::new(lake).add_person(new, organisation, Utc::now()).await?;
            print(&user, &password, output.json);
        }
        Command::List { output } => {
            let lake = output.lake.open_existing().await?;
            list(&*lake.accounts().await.context("could not read the accounts")?, output.json);
        }
        Command::ResetPassword { email, output } => {
            let lake = output.lake.open_for_writing().await?;
            let password = first_password(&lake);
            let user = Service::new(lake).reset_password(&email, &password, Utc::now()).await?;
            print(&user, &password, output.json);
        }
        Command::Remove { email, output } => {
            let lake = output.lake.open_for_writing().await?;
            let removed = Service::new(lake).remove_person(&email, Utc::now()).await?;
            match output.json {
                true => println!("{}", json!({ "id": removed.id, "email": removed.email })),
                false => println!("removed {}", removed.email),
            }
        }
    }
    Ok(())
}

/// Eighty random bits, in groups that people can type.
fn first_password(lake: &Lake) -> String {
    let digits = lake.new_secret("");
    (0..4).map(|group| &digits[group * 5..group * 5 + 5]).collect::<Vec<_>>().join("-")
}

fn print(user: &User, password: &str, as_json: bool) {
    if as_json {
        println!("{}", json!({ "id": user.id, "email": user.email, "password": password }));
        return;
    }
    println!("e-mail:   {}", user.email);
    println!("password: {password}");
    println!("Save the password: only its hash is stored, so it cannot be shown again.");
}

fn list(accounts: &Accounts, as_json: bool) {
    if as_json {
        let shown = |user: &User| {
            let memberships = accounts
                .memberships(&user.id)
                .map(|(organisation, role)| json!({ "id": organisation.id, "name": organisation.name, "role": role }));
            json!({
                "id": user.id, "email": user.email, "name": user.name, "created_at": user.created_at,
                "organisations": memberships.collect::<Vec<_>>(),
            })
        };
        println!("{}", Value::from_iter(accounts.users.iter().map(shown)));
        return;
    }
    let row = |user: &User| {
        let memberships: Vec<String> = accounts
            .memberships(&user.id)
            .map(|(organisation, role)| format!("{} ({})", organisation.name, role.name()))
            .collect();
        let added = user.created_at.format("%Y-%m-%d %H:%M").to_string();
        vec![user.email.clone(), user.name.clone(), memberships.join(", "), added]
    };
    let rows: Vec<Vec<String>> = accounts.users.iter().map(row).collect();
    print!("{}", text_table::render(&["e-mail", "name", "organisations", "added"], &rows));
}
