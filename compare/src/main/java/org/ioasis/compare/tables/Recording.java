// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;

/**
 * A guest at one stop, as far as its IOMMU goes: registers, the pages that hold tables and
 * commands, and all that QEMU's IOMMU said that it did until then. As a file it is one line that
 * says what it is, and lines compressed by gzip (RFC 1952). One thread.
 *
 * @param maker VMM and kernel
 * @param registers values by name
 */
record Recording(
        Subject subject,
        String maker,
        Map<String, Long> registers,
        GuestPages pages,
        List<TraceEvent> events) {
    private static final String FIRST_LINE = "ioasis compare tables: a recording\n";

    /** Words of a page in a line. */
    private static final int IN_LINE = 8;

    Recording {
        registers = Map.copyOf(registers);
        events = List.copyOf(events);
    }

    long register(Subject.Register register) throws IOException {
        Long value = registers.get(register.name());
        if (value == null) {
            throw new IOException("the recording has no register " + register.name());
        }
        return value;
    }

    byte[] bytes() throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(FIRST_LINE.getBytes(StandardCharsets.US_ASCII));
        try (PrintWriter out =
                new PrintWriter(
                        new OutputStreamWriter(
                                new GZIPOutputStream(bytes), StandardCharsets.US_ASCII))) {
            out.printf("subject %s%n", subject.label());
            out.printf("maker %s%n", maker);
            for (Subject.Register register : subject.family().registers()) {
                out.printf("register %s %x%n", register.name(), register(register));
            }
            pages.pages().forEach((address, words) -> writePage(out, address, words));
            for (TraceEvent event : events) {
                out.println(text(event));
            }
        }
        return bytes.toByteArray();
    }

    /** Runs of zeros at the ends of lines are left out, and lines of nothing else. */
    private static void writePage(PrintWriter out, long address, long[] words) {
        out.printf("page %x%n", address);
        for (int first = 0; first < words.length; first += IN_LINE) {
            int end = first + IN_LINE;
            while (end > first && words[end - 1] == 0) {
                end--;
            }
            if (end > first) {
                StringBuilder line = new StringBuilder("w ").append(Integer.toHexString(first));
                for (int i = first; i < end; i++) {
                    line.append(' ').append(Long.toHexString(words[i]));
                }
                out.println(line);
            }
        }
    }

    private static String text(TraceEvent event) {
        return switch (event) {
            case TraceEvent.Translated(int device, long iova, long output, int lg2, int rights) ->
                    "t %x %x %x %x %x".formatted(device, iova, output, lg2, rights);
            case TraceEvent.Filled(int device, int domain, long iova, int lg2, int rights) ->
                    "f %x %x %x %x %x".formatted(device, domain, iova, lg2, rights);
            case TraceEvent.Found(int device, int domain, long iova) ->
                    "h %x %x %x".formatted(device, domain, iova);
            case TraceEvent.Command(long low, long high) -> "c %x %x".formatted(low, high);
            case TraceEvent.Dropped(int domain, long first, long last) ->
                    "d %x %x %x".formatted(domain, first, last);
            case TraceEvent.Trouble(String line) -> "trouble " + line;
        };
    }

    static Recording read(byte[] bytes) throws IOException {
        byte[] head = FIRST_LINE.getBytes(StandardCharsets.US_ASCII);
        if (bytes.length < head.length
                || !Arrays.equals(bytes, 0, head.length, head, 0, head.length)) {
            throw new IOException("this is no recording of `ioasis compare tables`");
        }
        ByteArrayInputStream rest =
                new ByteArrayInputStream(bytes, head.length, bytes.length - head.length);
        try (BufferedReader in =
                new BufferedReader(
                        new InputStreamReader(
                                new GZIPInputStream(rest), StandardCharsets.US_ASCII))) {
            return new Reader().read(in);
        } catch (IllegalArgumentException e) {
            throw new IOException("the recording is damaged: " + e.getMessage(), e);
        }
    }

    /** Takes lines apart. One thread. */
    private static final class Reader {
        private String subject = "";
        private String maker = "";
        private final Map<String, Long> registers = new HashMap<>();
        private final GuestPages pages = GuestPages.written();
        private final List<TraceEvent> events = new ArrayList<>();
        private long address;
        private long[] words = new long[0];

        Recording read(BufferedReader in) throws IOException {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                int space = line.indexOf(' ');
                if (space < 0) {
                    throw new IOException("no line of a recording: " + line);
                }
                take(line.substring(0, space), line.substring(space + 1));
            }
            endPage();
            return new Recording(
                    Subject.labelled(subject)
                            .orElseThrow(() -> new IOException("an unknown IOMMU: " + subject)),
                    maker,
                    registers,
                    pages,
                    events);
        }

        private void take(String key, String rest) throws IOException {
            switch (key) {
                case "subject" -> subject = rest;
                case "maker" -> maker = rest;
                case "register" -> {
                    String[] parts = rest.split(" ", -1);
                    registers.put(parts[0], Long.parseUnsignedLong(parts[1], 16));
                }
                case "page" -> {
                    endPage();
                    address = number(rest);
                    words = new long[GuestPages.PAGE / Long.BYTES];
                }
                case "w" -> {
                    long[] line = numbers(rest);
                    System.arraycopy(line, 1, words, (int) line[0], line.length - 1);
                }
                case "trouble" -> events.add(new TraceEvent.Trouble(rest));
                default -> events.add(event(key, numbers(rest)));
            }
        }

        private void endPage() {
            if (words.length != 0) {
                pages.put(address, words);
                words = new long[0];
            }
        }

        private static TraceEvent event(String key, long[] n) throws IOException {
            return switch (key) {
                case "t" ->
                        new TraceEvent.Translated((int) n[0], n[1], n[2], (int) n[3], (int) n[4]);
                case "f" ->
                        new TraceEvent.Filled((int) n[0], (int) n[1], n[2], (int) n[3], (int) n[4]);
                case "h" -> new TraceEvent.Found((int) n[0], (int) n[1], n[2]);
                case "c" -> new TraceEvent.Command(n[0], n[1]);
                case "d" -> new TraceEvent.Dropped((int) n[0], n[1], n[2]);
                default -> throw new IOException("no line of a recording: " + key);
            };
        }

        private static long number(String text) {
            return Long.parseUnsignedLong(text, 16);
        }

        private static long[] numbers(String text) {
            String[] parts = text.split(" ", -1);
            long[] numbers = new long[parts.length];
            for (int i = 0; i < parts.length; i++) {
                numbers[i] = number(parts[i]);
            }
            return numbers;
        }
    }
}
