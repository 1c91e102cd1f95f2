//! The password of a key: out of a file, the environment or a prompt. It is never printed,
//! and no argument, since those of a command are for all to see.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

use crate::config::Environment;

/// Longest password, in bytes: minisign's.
const LONGEST: usize = 1024;

/// The first line of a file, or else the variable, or else what is typed: once for a key
/// that is there, twice for a new one.
pub(super) fn password(file: Option<&Path>, prompts: &[&str]) -> anyhow::Result<String> {
    let environment = Environment::of_process();
    let password = match (file, environment.key_password()) {
        (Some(file), _) => first_line(file)?,
        (None, Some(password)) => password.to_owned(),
        (None, None) => typed(prompts)?,
    };
    if password.len() > LONGEST {
        bail!("the password has {} bytes, wanted at most {LONGEST}", password.len());
    }
    Ok(password)
}

fn first_line(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        bail!("{}: its first line is empty, wanted a password", file.display());
    }
    Ok(line.to_owned())
}

fn typed(prompts: &[&str]) -> anyhow::Result<String> {
    let ask = |prompt: &&str| {
        rpassword::prompt_password(format!("{prompt}: "))
            .context("there is nobody to ask for the password: wanted --password-file or SOUK_KEY_PASSWORD")
    };
    let typed = prompts.iter().map(ask).collect::<anyhow::Result<Vec<String>>>()?;
    match typed.as_slice() {
        [] => bail!("there is nobody to ask for the password"),
        [first, more @ ..] if more.iter().all(|other| other == first) => Ok(first.clone()),
        _ => bail!("the two passwords are not the same"),
    }
}
