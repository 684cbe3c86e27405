// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.concurrent.Callable;
import org.ioasis.demo.Demo;
import org.ioasis.demo.DemoFigures;
import org.ioasis.demo.DemoScreen;
import org.ioasis.demo.HandoverDemo;
import org.ioasis.demo.HandoverFigures;
import org.ioasis.demo.HandoverFormat;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.vm.Terminal;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code ioasis demo}: all of it at work in one process, without QEMU. Main thread. */
@Command(
        name = "demo",
        description = {
            "Show the IOMMU at work in one process, without QEMU: a driver maps buffers, a disk on a temporary file does I/O"
                    + " through them that is read back and compared, and a rogue device tries to get out.",
            "With --handover the driver hands over the page table of a process, and a device that shares it asks for the"
                    + " pages that are not there (profile tables-2023, or tables-2021 with tables of ARM's)."
        },
        mixinStandardHelpOptions = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:all data was right and the rogue reached nothing",
            "1:it was not, or the temporary file cannot be written",
            "2:wrong arguments"
        })
final class DemoCommand implements Callable<Integer> {
    private static final JsonFactory JSON = new JsonFactory();
    private static final long DISK = 64L << 20;
    private static final double LONGEST = 3600;
    private static final long REDRAW_NANOS = 200_000_000L;
    private static final double NANOS = 1e9;
    private static final String HOME = "\033[H";
    private static final String CLEAR = "\033[2J";
    private static final String CLEAR_LINE = "\033[K";

    @Option(
            names = "--seconds",
            paramLabel = "N",
            defaultValue = "10",
            description = "How long (default: ${DEFAULT-VALUE}).")
    private double seconds;

    @Mixin private RingOption ring = new RingOption();

    @Option(
            names = "--handover",
            description = "Show page-table handover and page requests instead of mappings.")
    private boolean isHandover;

    /** What can be chosen. */
    enum Format {
        vtd,
        lpae,
        smmuv3
    }

    @Option(
            names = "--format",
            paramLabel = "FORMAT",
            description = {
                "Of the page table, with --handover: ${COMPLETION-CANDIDATES}; a first level of VT-d, ARM's 64-bit tables,"
                        + " or those behind context descriptors of SMMUv3 (default: vtd)."
            })
    private @Nullable Format format;

    @Option(names = "--json", description = "Print the figures as JSON, and nothing else.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        if (!(seconds > 0 && seconds <= LONGEST)) {
            throw new UsageException("--seconds %s: more than 0, up to 3600".formatted(seconds));
        }
        if (isHandover) {
            return handOver();
        }
        if (format != null) {
            throw new UsageException("--format is for --handover");
        }
        try (Cleanup cleanup = Cleanup.atExit()) {
            Path folder = cleanup.folder(() -> Files.createTempDirectory("ioasis-demo"));
            Path file = folder.resolve("disk.img");
            try (FileChannel bytes =
                    FileChannel.open(
                            file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                bytes.write(ByteBuffer.wrap(new byte[1]), DISK - 1);
            }
            return run(file);
        } catch (DriverException broken) {
            System.err.println("ioasis: " + broken.getMessage());
            return 1;
        }
    }

    private HandoverFormat chosenFormat() {
        return switch (format) {
            case lpae -> HandoverFormat.LPAE;
            case smmuv3 -> HandoverFormat.SMMUV3;
            case vtd -> HandoverFormat.VTD;
            case null -> HandoverFormat.VTD;
        };
    }

    private int handOver() throws IOException {
        long begun = System.nanoTime();
        try (HandoverDemo demo =
                new HandoverDemo(chosenFormat(), ring.chosen(), System::nanoTime, 1)) {
            double passed;
            do {
                demo.round();
                passed = (System.nanoTime() - begun) / NANOS;
            } while (passed < seconds);
            HandoverFigures figures = demo.figures();
            System.out.println(
                    json ? json(figures.isOk(), passed, figures.byName()) : figures.text(passed));
            return figures.isOk() ? 0 : 1;
        } catch (DriverException broken) {
            System.err.println("ioasis: " + broken.getMessage());
            return 1;
        }
    }

    private int run(Path file) throws IOException, DriverException {
        boolean isLive = !json && Terminal.isTerminal();
        long begun = System.nanoTime();
        try (Demo demo = new Demo(file, ring.chosen(), System::nanoTime, 1)) {
            long drawn = begun;
            if (isLive) {
                System.out.print(CLEAR);
            }
            double passed;
            do {
                demo.round();
                long now = System.nanoTime();
                passed = (now - begun) / NANOS;
                if (isLive && now - drawn >= REDRAW_NANOS) {
                    drawn = now;
                    draw(demo, passed);
                }
            } while (passed < seconds);
            demo.compareFile();
            DemoFigures figures = demo.figures();
            System.out.println(
                    json
                            ? json(figures.isOk(), passed, figures.byName())
                            : DemoScreen.figures(figures, ring.name(), passed));
            return figures.isOk() ? 0 : 1;
        }
    }

    private void draw(Demo demo, double passed) {
        StringBuilder text = new StringBuilder(HOME);
        DemoScreen.lines(demo, ring.name(), passed, seconds)
                .forEach(line -> text.append(line).append(CLEAR_LINE).append('\n'));
        System.out.print(text);
        System.out.flush();
    }

    private String json(boolean isOk, double passed, Map<String, Long> figures) throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator out = JSON.createGenerator(text)) {
            out.writeStartObject();
            out.writeBooleanField("ok", isOk);
            out.writeStringField("ring", ring.name());
            out.writeNumberField("seconds", passed);
            for (Map.Entry<String, Long> figure : figures.entrySet()) {
                out.writeNumberField(figure.getKey(), figure.getValue());
            }
            out.writeEndObject();
        }
        return text.toString();
    }
}
