// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.KernelTests;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.run.Progress;
import org.ioasis.selftests.SelftestReport;
import org.ioasis.selftests.SelftestRun;
import org.ioasis.selftests.TestLines;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/**
 * {@code ioasis selftests}: the kernel's tests of iommufd or VFIO on our host model. Main thread.
 */
@Command(
        name = "selftests",
        description = {
            "Run the Linux kernel's own tests of iommufd, unmodified, under `ioasis host --mock`, or with SUITE vfio those"
                    + " of VFIO with devices of ours, and print fixture by fixture what passed (docs/selftests.md,"
                    + " docs/selftests-vfio.md).",
            "Their sources come from Debian's source package of the kernel into the user's cache folder, where cc builds"
                    + " them, the first time."
        },
        mixinStandardHelpOptions = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:no case failed",
            "1:some case failed",
            "2:wrong arguments",
            "69:something that this machine must have is missing"
        })
final class SelftestsCommand implements Callable<Integer> {
    @Parameters(
            paramLabel = "SUITE",
            arity = "0..1",
            description = "${COMPLETION-CANDIDATES} (default: iommufd).")
    private SuiteName suite = SuiteName.iommufd;

    /** What is tested. */
    enum SuiteName {
        iommufd,
        vfio
    }

    @Option(names = "--list", description = "Print the names of the cases and run none.")
    private boolean isList;

    @Option(
            names = "--case",
            paramLabel = "NAME",
            description = "Only the cases whose name has this in it: fixture.variant.test.")
    private String only = "";

    @Mixin private final JsonOption json = new JsonOption();

    @Option(
            names = "--document",
            paramLabel = "FILE",
            description = "Write them to FILE as a document too, as docs/selftests.md is.")
    private @Nullable Path document;

    @Override
    public Integer call() throws UnavailableException, IOException, InterruptedException {
        json.check(OutputKind.SELFTESTS);
        Outputs.check("--document", document, OutputKind.SELFTESTS_DOCUMENT);
        Progress progress = Progress.standard();
        try (Cleanup cleanup = Cleanup.atExit()) {
            KernelTests tests = KernelTests.provide(Host.current(), cleanup, progress::say);
            Path folder = cleanup.folder(() -> Files.createTempDirectory("ioasis-selftests"));
            KernelTests.Suite chosen =
                    switch (suite) {
                        case iommufd -> KernelTests.Suite.IOMMUFD;
                        case vfio -> KernelTests.Suite.VFIO;
                    };
            SelftestRun run = new SelftestRun(tests, chosen, folder);
            if (isList) {
                List<String> names = run.names(only);
                checkFound(names.size());
                names.forEach(System.out::println);
                return 0;
            }
            SelftestReport report = run.run(only, SelftestsCommand::told);
            checkFound(report.cases().size());
            System.out.print(report.text());
            json.write(OutputKind.SELFTESTS, report.json());
            if (document != null) {
                OutputFile.write(
                        document,
                        OutputKind.SELFTESTS_DOCUMENT,
                        report.document().getBytes(StandardCharsets.UTF_8));
            }
            return report.isOk() ? 0 : 1;
        }
    }

    private void checkFound(int cases) {
        if (cases == 0 && !only.isEmpty()) {
            throw new UsageException(
                    "--case: no case of %s has \"%s\" in its name; --list alone prints all names"
                            .formatted(suite, only));
        }
    }

    private static void told(TestLines.Case ended) {
        if (ended.outcome() == TestLines.Outcome.FAILED) {
            System.err.println("ioasis: failed: " + ended.name());
        }
    }
}
