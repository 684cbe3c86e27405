// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.cli.Subcommand;
import org.ioasis.cli.UsageException;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.run.Progress;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code ioasis conform}: what a device shows of the specification's statements. Main thread. */
@Command(
        name = "conform",
        description = {
            "Ask a virtio-iommu device every statement of virtio 1.4, 5.13 that its driver can see: our own in this process,"
                    + " QEMU's, or that of a vfio-user server. For each that does not hold, the requests are printed that show it.",
            "Ids are those of docs/conformance.md."
        },
        mixinStandardHelpOptions = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:nothing was seen that does not hold",
            "1:some statement does not hold, or the device does not go on",
            "2:wrong arguments",
            "69:something that this machine must have is missing"
        })
public final class ConformCommand implements Subcommand {
    @Option(
            names = "--qemu",
            description = {
                "Ask QEMU's own device, without a guest. QEMU 10.1 or newer is taken from the PATH, or fetched from Debian"
                        + " into the user's cache folder."
            })
    private boolean qemu;

    @Option(
            names = "--vfio-user",
            paramLabel = "SOCKET",
            description = "Ask the device of the vfio-user server at SOCKET.")
    private @Nullable Path vfioUser;

    @Option(
            names = "--endpoint",
            paramLabel = "ID",
            description =
                    "With --vfio-user: an endpoint that is there, as 8 or 0x20; may be repeated.")
    private List<String> endpoints = List.of();

    @Option(
            names = "--absent",
            paramLabel = "ID",
            description = "With --vfio-user: an id that no endpoint has; may be repeated.")
    private List<String> absent = List.of();

    @Option(names = "--json", description = "Print the table as JSON.")
    private boolean json;

    @Override
    public Integer call() throws UnavailableException, IOException, InterruptedException {
        ConformanceReport report = report();
        System.out.print(json ? report.json() : report.text());
        return report.isOk() ? 0 : 1;
    }

    private ConformanceReport report()
            throws UnavailableException, IOException, InterruptedException {
        Path socket = vfioUser;
        if (socket == null) {
            if (!endpoints.isEmpty() || !absent.isEmpty()) {
                throw new UsageException("--endpoint and --absent are for --vfio-user SOCKET");
            }
            return qemu
                    ? Conformance.qemu(Host.current(), Progress.standard())
                    : Conformance.ours();
        }
        if (qemu) {
            throw new UsageException("--qemu and --vfio-user are two devices");
        }
        if (endpoints.isEmpty()) {
            throw new UsageException("--vfio-user needs an --endpoint that is there");
        }
        return Conformance.vfioUser(socket, ids(endpoints), ids(absent));
    }

    private static List<Integer> ids(List<String> words) {
        return words.stream()
                .map(word -> {
                    try {
                        long id = Long.decode(word);
                        if (id >= 0 && id <= 0xffff_ffffL) {
                            return (int) id;
                        }
                    } catch (NumberFormatException _) {
                        // Said below.
                    }
                    throw new UsageException("not an endpoint id: " + word);
                })
                .toList();
    }
}
