// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.ioasis.spec.VfioUser;
import org.jspecify.annotations.Nullable;

/**
 * The JSON of a VERSION message, both ways (vfio-user, "VFIO_USER_VERSION"). The client's is
 * untrusted: every size is limited before it is looked at. Any thread.
 */
final class VersionData {
    private static final JsonFactory JSON =
            JsonFactory.builder()
                    .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                    .streamReadConstraints(
                            StreamReadConstraints.builder()
                                    .maxDocumentLength(ClientCalls.MESSAGE_MAX)
                                    .maxNestingDepth(8)
                                    .maxNumberLength(20)
                                    .maxStringLength(1024)
                                    .maxNameLength(256)
                                    .maxTokenCount(1024)
                                    .build())
                    .build();

    private static final Set<String> NUMBERS =
            Set.of(
                    VfioUser.MAX_MSG_FDS,
                    VfioUser.MAX_DATA_XFER_SIZE,
                    VfioUser.MAX_DMA_MAPS,
                    VfioUser.PGSIZES);

    /** Of a client that says nothing. */
    static final Proposal NOTHING = new Proposal(Set.of(), VfioUser.MAX_MSG_FDS_DEFAULT);

    private VersionData() {}

    /**
     * What a client says.
     *
     * @param capabilities the names of those that mean something to us, in their order
     * @param fdsMax descriptors that it takes with one message, no more than we send
     */
    record Proposal(Set<String> capabilities, int fdsMax) {
        Proposal {
            capabilities = Collections.unmodifiableSet(new LinkedHashSet<>(capabilities));
        }
    }

    /**
     * What a client proposes. Unknown capabilities are passed over, as the specification lets each
     * side propose what it likes.
     *
     * @param json without its terminating NUL
     * @throws IOException not JSON, too large in some way, or not of the form that is specified
     */
    static Proposal parse(byte[] json) throws IOException {
        Set<String> known = new LinkedHashSet<>();
        int fdsMax = VfioUser.MAX_MSG_FDS_DEFAULT;
        try (JsonParser parser = JSON.createParser(json)) {
            expect(parser, parser.nextToken(), JsonToken.START_OBJECT);
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                JsonToken value = parser.nextToken();
                if (name.equals(VfioUser.CAPABILITIES)) {
                    expect(parser, value, JsonToken.START_OBJECT);
                    fdsMax = parseCapabilities(parser, known, fdsMax);
                } else {
                    parser.skipChildren();
                }
            }
            expect(parser, parser.currentToken(), JsonToken.END_OBJECT);
            expect(parser, parser.nextToken(), null);
        }
        return new Proposal(known, fdsMax);
    }

    /** The names go to {@code known}; how many descriptors it takes, which is usually so many. */
    private static int parseCapabilities(JsonParser parser, Set<String> known, int usualFdsMax)
            throws IOException {
        int fdsMax = usualFdsMax;
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            JsonToken value = parser.nextToken();
            if (NUMBERS.contains(name)) {
                expect(parser, value, JsonToken.VALUE_NUMBER_INT);
                if (parser.getLongValue() < 0) {
                    throw new IOException(name + " is negative");
                }
                if (name.equals(VfioUser.MAX_MSG_FDS)) {
                    fdsMax = (int) Math.min(parser.getLongValue(), Codec.FDS_MAX);
                }
                known.add(name);
            } else if (name.equals(VfioUser.WRITE_MULTIPLE)) {
                if (value == JsonToken.VALUE_TRUE) {
                    known.add(name);
                } else {
                    expect(parser, value, JsonToken.VALUE_FALSE);
                }
            } else {
                parser.skipChildren();
            }
        }
        expect(parser, parser.currentToken(), JsonToken.END_OBJECT);
        return fdsMax;
    }

    /**
     * What a server's text says, with the usual values for what it leaves out.
     *
     * @throws IOException as above, or a number that no server can mean
     */
    static ServerLimits limits(String json) throws IOException {
        int dataMax = ServerLimits.USUAL.dataMax();
        int mapsMax = ServerLimits.USUAL.mapsMax();
        int twin = -1;
        try (JsonParser parser = JSON.createParser(json)) {
            expect(parser, parser.nextToken(), JsonToken.START_OBJECT);
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                JsonToken value = parser.nextToken();
                if (!name.equals(VfioUser.CAPABILITIES)) {
                    parser.skipChildren();
                    continue;
                }
                expect(parser, value, JsonToken.START_OBJECT);
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    String capability = parser.currentName();
                    JsonToken of = parser.nextToken();
                    switch (capability) {
                        case VfioUser.MAX_DATA_XFER_SIZE -> dataMax = atLeastOne(parser, of);
                        // What it takes beyond ours, we do not ask of it.
                        case VfioUser.MAX_DMA_MAPS ->
                                mapsMax = Math.min(mapsMax, atLeastOne(parser, of));
                        case VfioUser.TWIN_SOCKET -> twin = twinSocket(parser, of);
                        default -> parser.skipChildren();
                    }
                }
                expect(parser, parser.currentToken(), JsonToken.END_OBJECT);
            }
            expect(parser, parser.currentToken(), JsonToken.END_OBJECT);
            expect(parser, parser.nextToken(), null);
        }
        return new ServerLimits(dataMax, mapsMax, twin);
    }

    private static int atLeastOne(JsonParser parser, JsonToken value) throws IOException {
        expect(parser, value, JsonToken.VALUE_NUMBER_INT);
        long number = parser.getLongValue();
        if (number < 1) {
            throw new IOException("%s is %d".formatted(parser.currentName(), number));
        }
        return (int) Math.min(number, Integer.MAX_VALUE);
    }

    /** The index, or -1: not supported, or not enabled. */
    private static int twinSocket(JsonParser parser, JsonToken value) throws IOException {
        expect(parser, value, JsonToken.START_OBJECT);
        boolean isSupported = false;
        int index = -1;
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            JsonToken of = parser.nextToken();
            switch (name) {
                case VfioUser.TWIN_SOCKET_SUPPORTED -> isSupported = of == JsonToken.VALUE_TRUE;
                case VfioUser.TWIN_SOCKET_FD_INDEX -> {
                    expect(parser, of, JsonToken.VALUE_NUMBER_INT);
                    index = parser.getIntValue();
                }
                default -> parser.skipChildren();
            }
        }
        expect(parser, parser.currentToken(), JsonToken.END_OBJECT);
        if (isSupported && index < 0) {
            throw new IOException("twin_socket without its descriptor");
        }
        return isSupported ? index : -1;
    }

    private static void expect(
            JsonParser parser, @Nullable JsonToken found, @Nullable JsonToken wanted)
            throws IOException {
        if (found != wanted) {
            throw new IOException(
                    "expected "
                            + wanted
                            + " and not "
                            + found
                            + " at byte "
                            + parser.currentLocation().getByteOffset());
        }
    }

    /**
     * Our answer with its terminating NUL: of the capabilities that the client proposed those that
     * we have to say something about. At most {@code room} bytes: QEMU gives up on a reply that is
     * longer than its request. Empty if not even an empty list fits; version data is optional.
     */
    static byte[] reply(Set<String> proposed, int regionLimit, int room) {
        List<String> members = new ArrayList<>();
        for (String name : proposed) {
            Object value =
                    switch (name) {
                        case VfioUser.MAX_MSG_FDS -> Codec.FDS_MAX;
                        case VfioUser.MAX_DATA_XFER_SIZE -> Codec.DATA_MAX;
                        case VfioUser.MAX_DMA_MAPS -> regionLimit;
                        case VfioUser.PGSIZES -> Codec.PAGE_SIZE;
                        case VfioUser.WRITE_MULTIPLE -> true;
                        default -> throw new IllegalStateException(name);
                    };
            members.add("\"" + name + "\":" + value);
        }
        while (true) {
            String json = "{\"capabilities\":{" + String.join(",", members) + "}}\0";
            if (json.length() <= room) {
                return json.getBytes(StandardCharsets.US_ASCII);
            }
            if (members.isEmpty()) {
                return new byte[0];
            }
            members.removeLast();
        }
    }
}
