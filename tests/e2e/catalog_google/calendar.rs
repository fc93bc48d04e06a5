//! Google Calendar. `emulate` has lists, new events, their end and free time; it has no route that reads or changes one event,
//! moves it, lists its dates or takes a sentence, and knows neither `fields` nor `recurrence`. The requests of what is on to
//! begin with are held against Google's documentation in `catalog_requests`.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use toolmesh_tests::TestResult;

use super::{ADA, Scene, all};

const EVENTS: &str = "/calendar/v3/calendars/ada@example.com/events";

async fn calendar() -> Result<Scene> {
    let data = json!({
        "calendars": [
            {"id": ADA, "user_email": ADA, "summary": "Ada", "primary": true, "time_zone": "Europe/Berlin"},
            {"id": "team", "user_email": ADA, "summary": "Team Köln", "time_zone": "Europe/Berlin", "access_role": "reader"},
            {"id": "zoe@example.com", "user_email": "zoe@example.com", "summary": "Zoe", "primary": true},
        ],
        "calendar_events": [
            {
                "id": "standup", "user_email": ADA, "calendar_id": ADA, "summary": "Stand-up",
                "start_date_time": "2026-11-27T08:00:00Z", "end_date_time": "2026-11-27T08:15:00Z",
            },
            {
                "id": "zoes", "user_email": "zoe@example.com", "calendar_id": "zoe@example.com", "summary": "Not for Ada",
                "start_date_time": "2026-11-27T08:00:00Z", "end_date_time": "2026-11-27T12:00:00Z",
            },
        ],
    });
    Scene::connected("google-calendar", data, ("list_calendars", json!({}))).await
}

#[tokio::test]
async fn google_calendar_lists_plans_and_cancels_events_of_the_connected_account() -> TestResult {
    let scene = calendar().await?;
    let calendars = scene.call("list_calendars", json!({})).await?;
    ensure!(all(&calendars["items"], "summary") == ["Ada", "Team Köln"], "{calendars}");
    let day = json!({"timeMin": "2026-11-27T00:00:00Z", "timeMax": "2026-11-28T00:00:00Z"});
    let events = scene.call("list_events", day.clone()).await?;
    ensure!(all(&events["items"], "id") == ["standup"], "{events}");

    let plan = json!({
        "summary": "Gespräch mit Jörg 🙂", "description": "Über das Angebot", "location": "Köln, Raum 7",
        "start": {"dateTime": "2026-11-27T10:00:00+01:00", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2026-11-27T10:30:00+01:00", "timeZone": "Europe/Berlin"},
        "attendees": [{"email": "joerg@acme.example"}], "sendUpdates": "all",
    });
    let made = scene.call("create_event", plan).await?;
    let id = made["id"].as_str().with_context(|| format!("no ID: {made}"))?;
    let held = scene.ask(EVENTS).await?;
    let held = held["items"].as_array().and_then(|all| all.iter().find(|event| event["id"] == id));
    let held = held.context("Google does not have it")?;
    ensure!(held["summary"] == "Gespräch mit Jörg 🙂" && held["location"] == "Köln, Raum 7", "{held}");
    ensure!(all(&held["attendees"], "email") == ["joerg@acme.example"], "{held}");
    let whole = json!({"calendarId": "team", "summary": "Off-site", "start": {"date": "2026-12-01"}, "end": {"date": "2026-12-03"}});
    scene.call("create_event", whole).await?;
    let team = scene.ask("/calendar/v3/calendars/team/events").await?;
    ensure!(team["items"][0]["end"]["date"] == "2026-12-03", "{team}");

    let events = scene.call("list_events", day.clone()).await?;
    ensure!(all(&events["items"], "id") == ["standup", id], "by their begin: {events}");
    let found = scene.call("list_events", json!({"q": "raum 7"})).await?;
    ensure!(all(&found["items"], "id") == [id], "{found}");
    let mut when = day;
    when["items"] = json!([{"id": "primary"}]);
    let busy = scene.call("find_busy_times", when).await?;
    let times = all(&busy["primary"]["busy"], "start");
    ensure!(times == ["2026-11-27T08:00:00Z", "2026-11-27T10:00:00+01:00"], "{busy}");

    scene.run("delete_event", json!({"eventId": id})).await?;
    let left = scene.ask(EVENTS).await?;
    ensure!(all(&left["items"], "id") == ["standup"], "{left}");
    let gone = scene.refused("delete_event", json!({"eventId": id})).await?;
    ensure!(gone.contains("404") && gone.contains("entity was not found"), "{gone}");
    let zoes = scene.refused("list_events", json!({"calendarId": "zoe@example.com"})).await?;
    ensure!(zoes.contains("404"), "{zoes}");
    let endless = json!({"summary": "No end", "start": {"dateTime": "2026-11-27T10:00:00Z"}, "end": {}});
    let refusal = scene.refused("create_event", endless).await?;
    ensure!(refusal.contains("400") && refusal.contains("start and end"), "{refusal}");
    Ok(())
}
