//! Gmail. `emulate` has no `GET /profile`, so `get_profile` is not called here; and it keeps a subject by RFC 2047 as it came,
//! which Gmail decodes. So mails that tools have written are read here with a parser of mails.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mail_parser::{Address, Message, MessageParser};
use serde_json::{Value, json};
use toolmesh_tests::TestResult;

use super::{ADA, Scene, all, base64url};

const INBOX: &str = "/gmail/v1/users/me";

fn mails() -> Value {
    let invoice = "From: Shop <orders@shop.example>\r\nTo: ada@example.com\r\nSubject: Invoice 7\r\nMessage-ID: \
                   <invoice-7@shop.example>\r\nDate: Fri, 20 Nov 2026 08:00:00 GMT\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; \
                   boundary=\"cut\"\r\n\r\n--cut\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nYour invoice is \
                   attached.\r\n--cut\r\nContent-Type: text/csv; name=\"invoice.csv\"\r\nContent-Disposition: attachment; \
                   filename=\"invoice.csv\"\r\nContent-Transfer-Encoding: base64\r\n\r\ncHJpY2U7NDIK\r\n--cut--\r\n";
    json!({"messages": [
        {
            "id": "offer-1", "thread_id": "offer", "user_email": ADA, "from": "Grace Hopper <grace@acme.example>", "to": ADA,
            "subject": "Angebot für Köln", "body_text": "Guten Tag Ada,\nkönnen wir am Montag beginnen? 🙂",
            "label_ids": ["INBOX", "UNREAD"], "date": "2026-11-19T08:00:00Z", "message_id": "<offer-1@acme.example>",
        },
        {"id": "invoice-7", "thread_id": "invoice", "user_email": ADA, "raw": base64url(invoice), "label_ids": ["INBOX"]},
        {
            "id": "zoes", "thread_id": "zoes", "user_email": "zoe@example.com", "from": "grace@acme.example",
            "to": "zoe@example.com", "subject": "Angebot for Zoe alone", "body_text": "Not for Ada.", "label_ids": ["INBOX"],
        },
    ]})
}

async fn gmail() -> Result<Scene> {
    Scene::connected("gmail", mails(), ("list_labels", json!({}))).await
}

impl Scene {
    /// A mail as Google holds it, letter by letter.
    async fn raw(&self, path: &str) -> Result<(Value, String)> {
        let mut held = self.ask(&format!("{INBOX}{path}?format=raw")).await?;
        if held["message"].is_object() {
            held = held["message"].take();
        }
        let raw = held["raw"].as_str().context("no raw")?;
        let raw = String::from_utf8(URL_SAFE_NO_PAD.decode(raw)?)?;
        Ok((held, raw))
    }

    /// IDs of all drafts, at Google.
    async fn drafts(&self) -> Result<Vec<String>> {
        let drafts = self.ask(&format!("{INBOX}/drafts")).await?;
        Ok(all(&drafts["drafts"], "id").into_iter().map(str::to_owned).collect())
    }

    async fn labels_of(&self, mail: &str) -> Result<Vec<String>> {
        let held = self.ask(&format!("{INBOX}/messages/{mail}?format=minimal")).await?;
        Ok(serde_json::from_value(held["labelIds"].clone())?)
    }
}

/// Reads a mail as those who get it do. It is ASCII, and no line is longer than mail may have.
fn parsed(raw: &str) -> Result<Message<'_>> {
    ensure!(raw.is_ascii() && raw.split("\r\n").all(|line| line.len() <= 78), "{raw}");
    ensure!(!raw.replace("\r\n", "").contains(['\r', '\n']), "{raw:?}");
    MessageParser::default().parse(raw.as_bytes()).context("no mail")
}

/// Name and address of each.
fn people<'a>(list: Option<&'a Address<'_>>) -> Vec<(&'a str, &'a str)> {
    let all = list.into_iter().flat_map(Address::iter);
    all.map(|one| (one.name().unwrap_or_default(), one.address().unwrap_or_default())).collect()
}

#[tokio::test]
async fn gmail_finds_and_reads_mails_conversations_and_attachments_of_the_connected_account() -> TestResult {
    let scene = gmail().await?;
    let labels = scene.call("list_labels", json!({})).await?;
    ensure!(all(&labels, "id").contains(&"INBOX"), "{labels}");
    let found = scene.call("search_messages", json!({"q": "angebot"})).await?;
    ensure!(all(&found["messages"], "id") == ["offer-1"], "{found}");
    let unread = json!({"labelIds": ["INBOX", "UNREAD"], "maxResults": 5});
    let unread = scene.call("search_messages", unread).await?;
    ensure!(all(&unread["messages"], "id") == ["offer-1"], "{unread}");

    let mail = scene.call("get_message", json!({"id": "offer-1"})).await?;
    ensure!(mail["text"] == "Guten Tag Ada,\nkönnen wir am Montag beginnen? 🙂", "{mail}");
    ensure!(mail["from"] == "Grace Hopper <grace@acme.example>", "{mail}");
    ensure!(mail["subject"] == "Angebot für Köln" && mail["messageId"] == "<offer-1@acme.example>", "{mail}");
    let head = json!({"id": "offer-1", "format": "metadata", "metadataHeaders": ["Subject"]});
    let head = scene.call("get_message", head).await?;
    ensure!(head["subject"] == "Angebot für Köln" && head["from"].is_null() && head["text"] == "", "{head}");
    let threads = scene.call("search_threads", json!({"q": "from:grace@acme.example"})).await?;
    ensure!(all(&threads["threads"], "id") == ["offer"], "{threads}");
    let thread = scene.call("get_thread", json!({"id": "offer"})).await?;
    let text = thread["messages"][0]["text"].as_str().unwrap_or_default();
    ensure!(text.ends_with("beginnen? 🙂"), "{thread}");

    let invoice = scene.call("get_message", json!({"id": "invoice-7"})).await?;
    let file = &invoice["attachments"][0];
    ensure!(invoice["text"] == "Your invoice is attached." && file["filename"] == "invoice.csv", "{invoice}");
    scene.switch_on(&["get_attachment"]).await?;
    let wanted = json!({"messageId": "invoice-7", "id": file["attachmentId"]});
    let read = scene.call("get_attachment", wanted).await?;
    ensure!(read["data"].as_str().is_some_and(|data| data.trim_end_matches('=') == "cHJpY2U7NDIK"), "{read}");

    for lost in ["nowhere", "zoes"] {
        let refusal = scene.refused("get_message", json!({"id": lost})).await?;
        ensure!(refusal.contains("404") && refusal.contains("entity was not found"), "{refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn gmail_writes_a_draft_from_plain_fields_changes_it_and_sends_it() -> TestResult {
    let scene = gmail().await?;
    let subject =
        "Grüße aus Köln – 🎉 und ein Betreff, der so lang ist, dass er gefaltet wird: 日本語のメール";
    let text = "Hallo Jörg,\n\nschön! 🎉\n.\nFrom the start: 100 % = 1\n\nAda";
    let draft = json!({
        "to": ["Jörg Müßig <joerg@acme.example>", "\"Doe, Jane\" <jane@acme.example>", "plain@acme.example"],
        "cc": ["copy@acme.example"], "bcc": ["hidden@acme.example"], "subject": subject, "text": text,
    });
    let made = scene.call("create_draft", draft).await?;
    let id = made["id"].as_str().context("no ID")?;
    ensure!(scene.drafts().await? == [id], "{made}");
    let (held, raw) = scene.raw(&format!("/drafts/{id}")).await?;
    ensure!(held["labelIds"] == json!(["DRAFT"]), "{held}");
    let mail = parsed(&raw)?;
    ensure!(mail.subject() == Some(subject), "{raw}");
    ensure!(mail.body_text(0).is_some_and(|body| body.replace("\r\n", "\n").trim_end() == text), "{raw}");
    let to = [
        ("Jörg Müßig", "joerg@acme.example"),
        ("Doe, Jane", "jane@acme.example"),
        ("", "plain@acme.example"),
    ];
    ensure!(people(mail.to()) == to, "{raw}");
    ensure!(people(mail.cc()) == [("", "copy@acme.example")], "{raw}");
    ensure!(people(mail.bcc()) == [("", "hidden@acme.example")], "{raw}");
    let read = scene.call("get_draft", json!({"id": id})).await?;
    ensure!(read["message"]["text"].as_str().is_some_and(|read| read.contains("schön! 🎉")), "{read}");

    let change = json!({"id": id, "to": ["jane@acme.example"], "subject": "On Monday", "text": "Doch am Montag: größer."});
    scene.call("update_draft", change).await?;
    let (_, raw) = scene.raw(&format!("/drafts/{id}")).await?;
    let mail = parsed(&raw)?;
    ensure!(mail.subject() == Some("On Monday") && mail.cc().is_none() && mail.bcc().is_none(), "{raw}");
    ensure!(mail.body_text(0).is_some_and(|body| body.trim_end() == "Doch am Montag: größer."), "{raw}");
    let listed = scene.call("list_drafts", json!({})).await?;
    ensure!(all(&listed["drafts"], "id") == [id], "{listed}");

    let sent = scene.call("send_draft", json!({"id": id})).await?;
    let sent = sent["id"].as_str().with_context(|| format!("no ID: {sent}"))?;
    ensure!(scene.labels_of(sent).await? == ["SENT"] && scene.drafts().await?.is_empty());
    let gone = scene.refused("send_draft", json!({"id": id})).await?;
    ensure!(gone.contains("404"), "{gone}");
    Ok(())
}

#[tokio::test]
async fn gmail_writes_a_long_mail_whole_and_says_where_it_is_too_long() -> TestResult {
    let scene = gmail().await?;
    let text = "日本語の長い手紙。\n".repeat(10_000);
    let made = scene.call("create_draft", json!({"to": ["jane@acme.example"], "text": &text})).await?;
    let (_, raw) = scene.raw(&format!("/drafts/{}", made["id"].as_str().context("no ID")?)).await?;
    let mail = parsed(&raw)?;
    ensure!(mail.body_text(0).is_some_and(|body| body.replace("\r\n", "\n").trim_end() == text.trim_end()));
    let refusal =
        scene.refused("create_draft", json!({"to": ["jane@acme.example"], "text": text + "。"})).await?;
    ensure!(refusal.contains("longer than 100,000 characters"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn gmail_answers_a_mail_within_its_conversation_to_whoever_wrote_it() -> TestResult {
    let scene = gmail().await?;
    let answer = json!({"replyToMessageId": "offer-1", "text": "Gern, am Montag um neun."});
    let made = scene.call("create_draft", answer.clone()).await?;
    ensure!(
        made["to"] == json!(["grace@acme.example"]) && made["subject"] == "Re: Angebot für Köln",
        "{made}"
    );
    let (held, raw) = scene.raw(&format!("/drafts/{}", made["id"].as_str().context("no ID")?)).await?;
    let mail = parsed(&raw)?;
    ensure!(held["threadId"] == "offer" && mail.subject() == Some("Re: Angebot für Köln"), "{held} {raw}");
    ensure!(people(mail.to()) == [("", "grace@acme.example")], "{raw}");
    ensure!(mail.in_reply_to().as_text() == Some("offer-1@acme.example"), "{raw}");
    ensure!(mail.references().as_text() == Some("offer-1@acme.example"), "{raw}");
    let unread = scene.refused("create_draft", json!({"replyToMessageId": "zoes", "text": "Hello"})).await?;
    ensure!(unread.contains("404"), "{unread}");

    // At once, and without a draft: for those who switch it on.
    scene.switch_on(&["send_message"]).await?;
    let sent = scene.call("send_message", answer).await?;
    let (held, _) = scene.raw(&format!("/messages/{}", sent["id"].as_str().context("no ID")?)).await?;
    ensure!(held["threadId"] == "offer" && held["labelIds"] == json!(["SENT"]), "{held}");
    let thread = scene.call("get_thread", json!({"id": "offer"})).await?;
    ensure!(thread["messages"].as_array().map(Vec::len) == Some(3), "{thread}");
    Ok(())
}

#[tokio::test]
async fn no_line_break_in_what_a_mail_is_written_from_adds_a_header_or_somebody_who_gets_it() -> TestResult {
    let scene = gmail().await?;
    scene.switch_on(&["send_message"]).await?;
    let (to, text) = (json!(["jane@acme.example"]), "Hello");
    for (bad, words) in [
        (json!({"to": to, "subject": "Hello\r\nBcc: mallory@evil.example"}), "single line"),
        (json!({"to": to, "subject": "Hello\nBcc: mallory@evil.example"}), "single line"),
        (json!({"to": to, "subject": "Hello\rBcc: mallory@evil.example"}), "single line"),
        (json!({"to": to, "subject": "Hello\u{2028}Bcc: mallory@evil.example"}), "single line"),
        (json!({"to": ["jane@acme.example\r\nBcc: mallory@evil.example"]}), "single line"),
        (json!({"to": ["Jane\nBcc: mallory@evil.example\nX: <jane@acme.example>"]}), "single line"),
        (json!({"to": to, "cc": ["jane@acme.example, mallory@evil.example"]}), "one address"),
        (json!({"to": to, "bcc": ["<jane@acme.example> <mallory@evil.example>"]}), "one address"),
        (json!({"to": ["jane@acme.example>,<mallory@evil.example"]}), "one address"),
        (json!({"to": ["nobody"]}), "one address"),
        (json!({}), "is for nobody"),
    ] {
        for tool in ["create_draft", "send_message"] {
            // A draft may still be for nobody.
            if tool == "create_draft" && words == "is for nobody" {
                continue;
            }
            let mut mail = bad.clone();
            mail["text"] = json!(text);
            let refusal = scene.refused(tool, mail).await?;
            ensure!(refusal.contains(words), "{bad}: {refusal}");
        }
    }
    // What looks like the code for other letters is none.
    let odd = json!({"to": ["\"=?UTF-8?Q?Boss?=\" <jane@acme.example>"], "subject": "=?UTF-8?Q?a=0D=0ABcc:_x@evil.example?=", "text": text});
    let made = scene.call("create_draft", odd).await?;
    let id = made["id"].as_str().context("no ID")?;
    let (_, raw) = scene.raw(&format!("/drafts/{id}")).await?;
    let mail = parsed(&raw)?;
    ensure!(
        mail.subject() == Some("=?UTF-8?Q?a=0D=0ABcc:_x@evil.example?=") && mail.bcc().is_none(),
        "{raw}"
    );
    ensure!(people(mail.to()) == [("=?UTF-8?Q?Boss?=", "jane@acme.example")], "{raw}");

    // What is sent as it comes is for the connector's own code, and so is what decides what becomes of a mail.
    for (tool, arguments) in [
        ("_create_draft", json!({"raw": base64url("To: jane@acme.example\r\n\r\nHello")})),
        ("_send_message", json!({"raw": base64url("To: jane@acme.example\r\n\r\nHello")})),
        ("create_draft", json!({"to": to, "text": text, "then": "send"})),
        ("create_draft", json!({"to": to, "text": text, "raw": base64url("To: jane@acme.example")})),
    ] {
        scene.refused(tool, arguments).await?;
    }
    let sent = scene.ask(&format!("{INBOX}/messages?labelIds=SENT")).await?;
    ensure!(all(&sent["messages"], "id").is_empty() && scene.drafts().await? == [id], "{sent}");
    Ok(())
}

#[tokio::test]
async fn gmail_sorts_mails_by_labels_and_takes_them_out_of_the_trash_again() -> TestResult {
    let scene = gmail().await?;
    scene.switch_on(&["create_label", "untrash_message"]).await?;
    let label = scene.call("create_label", json!({"name": "Angebote/Köln"})).await?;
    let label = label["id"].as_str().with_context(|| format!("no ID: {label}"))?;
    let labels = scene.ask(&format!("{INBOX}/labels")).await?;
    ensure!(all(&labels["labels"], "name").contains(&"Angebote/Köln"), "{labels}");

    let change = json!({"id": "offer-1", "addLabelIds": [label, "STARRED"], "removeLabelIds": ["UNREAD"]});
    scene.run("modify_message", change).await?;
    let mut kept = scene.labels_of("offer-1").await?;
    kept.sort();
    let mut wanted = ["INBOX", label, "STARRED"];
    wanted.sort_unstable();
    ensure!(kept == wanted, "{kept:?}");
    scene.run("modify_thread", json!({"id": "offer", "removeLabelIds": ["INBOX"]})).await?;
    ensure!(!scene.labels_of("offer-1").await?.contains(&"INBOX".to_owned()), "it is not archived");
    let wrong =
        scene.refused("modify_message", json!({"id": "offer-1", "addLabelIds": ["NO_LABEL"]})).await?;
    ensure!(wrong.contains("400") && wrong.contains("NO_LABEL"), "{wrong}");

    scene.run("trash_message", json!({"id": "invoice-7"})).await?;
    ensure!(scene.labels_of("invoice-7").await?.contains(&"TRASH".to_owned()), "it is not in the trash");
    let found = scene.call("search_messages", json!({"q": "invoice"})).await?;
    ensure!(all(&found["messages"], "id").is_empty(), "{found}");
    let found = scene.call("search_messages", json!({"q": "invoice", "includeSpamTrash": true})).await?;
    ensure!(all(&found["messages"], "id") == ["invoice-7"], "{found}");
    scene.run("untrash_message", json!({"id": "invoice-7"})).await?;
    ensure!(scene.labels_of("invoice-7").await? == ["INBOX"]);
    Ok(())
}
