"""Uses the page of `binscribe serve` as a person does, and prints what is seen.

    browse.py URL HOSTILE PACKAGE STRIPPED OTHER

OTHER is for a processor whose code is not decompiled.
"""

import json
import pathlib
import shutil
import sys
import tempfile

from playwright.sync_api import sync_playwright

url, hostile, package, stripped, other = sys.argv[1:]
seen = {}
problems = []
decompiled = []


def text(page, selector):
    return page.locator(selector).first.inner_text()


def explained(page):
    page.wait_for_selector('#status:has-text("explained in")', timeout=240_000)


with sync_playwright() as playwright:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    # Chromium's own sandbox does not work for root.
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: request.url.startswith((url, "data:", "blob:")) or problems.append(request.url))

    page.on("request", lambda request: "/decompile" in request.url and decompiled.append(request.url))

    page.goto(url)
    page.wait_for_selector("#token-form:not([hidden])")
    seen["refused without a token"] = "token" in text(page, "#error")
    page.fill("#token", "correct horse battery staple")
    page.press("#token", "Enter")
    page.wait_for_selector("#token-form", state="hidden")

    page.set_input_files("#file", hostile)
    explained(page)
    seen["rows"] = page.locator("#rows tr").count()
    seen["count"] = text(page, "#count")
    while page.locator("#next").is_enabled():
        page.click("#next")
    seen["last page"] = text(page, "#page-number")
    page.click('th[data-key="size"] button')
    seen["largest"] = text(page, "#rows tr:first-child button.name")

    # From here on by keys alone.
    page.locator("#count").click()
    page.keyboard.press("/")
    page.keyboard.type("onerror")
    page.wait_for_selector('#count:has-text("1 of")')
    seen["filtered"] = text(page, "#count")
    page.locator("#rows button.name").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail-calls dd")
    page.wait_for_selector("#similar table")
    seen["name"] = text(page, "#detail-name")
    seen["strings"] = text(page, "#detail-calls")
    seen["similar"] = page.locator("#similar tbody tr").count()
    page.locator("#detail-calls button.go", has_text="other").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector('#detail-name:has-text("other")')
    page.wait_for_selector('#listing pre:has-text("imul")')
    seen["listing"] = text(page, "#listing pre")
    seen["caller"] = text(page, "#detail-calls button.go")
    # As C, which the next function is shown as, too; the call in it is a link.
    seen["C before it is wanted"] = len(decompiled)
    page.locator("#as-c").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector('#decompiled pre:has-text("return")')
    seen["C"] = text(page, "#decompiled pre")
    seen["assembly beside C"] = page.locator("#listing").is_visible()
    page.locator("#detail-calls button.go").first.focus()
    page.keyboard.press("Enter")
    link = page.locator("#decompiled a", has_text="other")
    link.wait_for()
    seen["C of the caller"] = text(page, "#decompiled pre")
    seen["links"] = page.locator("#decompiled a").count()
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector('#detail-name:has-text("other")')
    page.wait_for_selector('#decompiled pre:has-text("return")')
    seen["address after a link"] = page.evaluate("location.hash").split("/")[1]
    page.locator("#as-assembly").focus()
    page.keyboard.press("Space")
    page.wait_for_selector('#listing pre:has-text("imul")')
    page.keyboard.press("Escape")
    seen["closed by a key"] = page.locator("#detail").is_hidden()
    page.locator("#english").focus()
    page.keyboard.type("multiply a number")
    page.keyboard.press("Enter")
    page.wait_for_selector("#found:not([hidden])")
    seen["found"] = page.locator("#found-rows tr").count()
    seen["markup"] = page.locator("img, main script, main b").count()
    seen["title"] = page.title()

    page.reload()
    explained(page)
    seen["after loading again"] = text(page, "#program-name")

    with tempfile.TemporaryDirectory() as folder:
        poem = pathlib.Path(folder) / "poem.txt"
        poem.write_text("no program at all, however long it is read\n" * 9)
        page.set_input_files("#file", poem)
        page.wait_for_selector("#error:not([hidden])")
    seen["error"] = text(page, "#error")
    # A package: the error says what is in it, and the fields below ask for a member.
    page.set_input_files("#file", package)
    page.wait_for_selector('#error:has-text("name one of its members")')
    member = text(page, "#error").split("libsmall.a:")[1].split(";")[0]
    page.fill("#member", member)
    page.press("#member", "Enter")
    explained(page)
    seen["member"] = text(page, "#program-name")
    page.fill("#member", "")
    page.set_input_files("#file", stripped)
    explained(page)
    seen["second"] = text(page, "#program-name")
    page.set_input_files("#file", other)
    explained(page)
    page.locator("#rows button.name").first.click()
    page.locator("#as-c").click()
    page.wait_for_selector('#decompiled:has-text("x86-64")')
    seen["not decompiled"] = text(page, "#decompiled")
    browser.close()

seen["problems"] = problems
print(json.dumps(seen))
