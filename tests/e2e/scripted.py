"""A provider that plays a script: its Nth turn answers the Nth main request of a real client.

A script is a file of scripts/. Its `turns` hold whole answers as the API would give them without streaming, and beside each
what must be recorded; the provider streams them in small pieces, as models do. Clients also send requests of their own
(titles, token counts, connectivity): what does not offer the script's tools is one of these and gets a short plain answer.
"""
import http.server
import json
import pathlib
import threading
import time

SCRIPTS = pathlib.Path(__file__).parent / "scripts"
PIECE = 9  # characters of a delta
PACE = 0.001  # seconds between events: a model that is quick, yet never has two events in one write


def load(name, **values):
    """The script with {placeholders} in its texts replaced."""
    def filled(value):
        if isinstance(value, str):
            for key, text in values.items():
                value = value.replace("{" + key + "}", str(text))
            return value
        if isinstance(value, list):
            return [filled(item) for item in value]
        return {key: filled(item) for key, item in value.items()} if isinstance(value, dict) else value

    return filled(json.loads((SCRIPTS / f"{name}.json").read_text(encoding="utf-8")))


def pieces(text):
    return [text[at:at + PIECE] for at in range(0, len(text), PIECE)]


# --- Anthropic Messages ---

def messages_events(answer):
    usage = answer["usage"]
    opening = {**answer, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": opening}
    yield {"type": "ping"}
    for index, block in enumerate(answer["content"]):
        opened, deltas = messages_block(block)
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": answer["stop_reason"], "stop_sequence": None},
           "usage": {"output_tokens": usage["output_tokens"]}}
    yield {"type": "message_stop"}


def messages_block(block):
    """(the block as it is opened, its deltas)"""
    kind = block["type"]
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": text} for text in pieces(block["thinking"])]
        return {**block, "thinking": "", "signature": ""}, deltas + [{"type": "signature_delta", "signature": block["signature"]}]
    if kind == "tool_use":
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text} for text in pieces(json.dumps(block["input"]))]
    assert kind == "text", block
    return {**block, "text": ""}, [{"type": "text_delta", "text": text} for text in pieces(block["text"])]


def messages_aside(number, asked):
    return {"id": f"msg_aside_{number}", "type": "message", "role": "assistant", "model": asked.get("model", "none"),
            "content": [{"type": "text", "text": "{\"title\": \"A note\"}"}], "stop_reason": "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 5}}


# --- OpenAI Responses ---

def responses_events(answer):
    opening = {**answer, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": opening}
    yield {"type": "response.in_progress", "response": opening}
    for index, item in enumerate(answer["output"]):
        place = {"item_id": item["id"], "output_index": index}
        yield {"type": "response.output_item.added", "output_index": index, "item": responses_opened(item)}
        yield from RESPONSES_DELTAS[item["type"]](item, place)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": answer}


def responses_opened(item):
    empty = {"reasoning": {"summary": []}, "message": {"content": []}, "function_call": {"arguments": ""},
             "custom_tool_call": {"input": ""}}
    return {**item, **empty[item["type"]], **({"status": "in_progress"} if "status" in item else {})}


def reasoning_deltas(item, place):
    for number, part in enumerate(item["summary"]):
        where = {**place, "summary_index": number}
        yield {"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}}
        yield from text_deltas("response.reasoning_summary_text", where, part["text"], "text")
        yield {"type": "response.reasoning_summary_part.done", **where, "part": part}


def message_deltas(item, place):
    for number, part in enumerate(item["content"]):
        where = {**place, "content_index": number}
        yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
        yield from text_deltas("response.output_text", where, part["text"], "text")
        yield {"type": "response.content_part.done", **where, "part": part}


def text_deltas(event, where, text, name):
    for piece in pieces(text):
        yield {"type": f"{event}.delta", **where, "delta": piece}
    yield {"type": f"{event}.done", **where, name: text}


RESPONSES_DELTAS = {
    "reasoning": reasoning_deltas,
    "message": message_deltas,
    "function_call": lambda item, place: text_deltas("response.function_call_arguments", place, item["arguments"], "arguments"),
    "custom_tool_call": lambda item, place: text_deltas("response.custom_tool_call_input", place, item["input"], "input"),
}


def responses_aside(number, asked):
    return {"id": f"resp_aside_{number}", "object": "response", "status": "completed", "model": asked.get("model", "none"),
            "output": [{"type": "message", "id": f"item_aside_{number}", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": "A note", "annotations": []}]}],
            "usage": {"input_tokens": 5, "output_tokens": 5, "total_tokens": 10}}


# --- the server ---

APIS = {  # the path's end, how an answer is streamed, the answer to a request that is not of the script
    "messages": ("/messages", messages_events, messages_aside),
    "responses": ("/responses", responses_events, responses_aside),
}


def names_in(tools):
    """Of the tools that a request offers, those inside namespaces too."""
    for tool in tools:
        yield tool.get("name")
        yield from names_in(tool.get("tools", []))


class ScriptedProvider:
    def __init__(self, script):
        self.script, self.path, self.events, self.aside = script, *APIS[script["api"]]
        self.mutex = threading.Lock()
        self.played, self.asides = [], []  # the bodies of the main requests; (path, body) of the others that were answered
        provider = self

        class Connection(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.whole(404, {"type": "error", "error": {"type": "not_found_error", "message": "not of the script"}})

            do_HEAD = do_GET

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path = self.path.partition("?")[0]
                if path.endswith("/count_tokens"):
                    return self.whole(200, {"input_tokens": 42})
                if not path.endswith(provider.path):
                    return self.do_GET()
                answer = provider.answer_to(path, asked)
                if answer is None:
                    return self.whole(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "the script is over"}})
                return self.stream(provider.events(answer)) if asked.get("stream") else self.whole(200, answer)

            def whole(self, status, document):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def stream(self, events):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for number, event in enumerate(events):
                    if provider.path == "/responses":
                        event["sequence_number"] = number
                    data = f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    time.sleep(PACE)
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Connection)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer_to(self, path, asked):
        """None: the script has no more turns."""
        offered = list(asked.get("tools", [])) + [tool for item in asked.get("input", []) if isinstance(item, dict)
                                                  for tool in item.get("tools", [])]
        with self.mutex:
            if not set(self.script["tools"]) <= set(names_in(offered)):
                self.asides.append((path, asked))
                return self.aside(len(self.asides), asked)
            self.played.append(asked)
            turns = self.script["turns"]
            return turns[len(self.played) - 1]["answer"] if len(self.played) <= len(turns) else None

    def close(self):
        self.server.shutdown()
        self.server.server_close()
