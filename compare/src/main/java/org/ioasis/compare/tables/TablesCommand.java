// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.ioasis.cli.UsageException;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.run.Progress;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code ioasis compare tables}: page tables of Linux's, walked by QEMU and by us. Main thread. */
@Command(
        name = "tables",
        description = {
            "Boot a guest whose disks are behind an IOMMU of QEMU's own, let it do I/O, stop it, and walk the tables that"
                    + " its Linux has made: each translation that holds must be what QEMU's walker has found"
                    + " (docs/compare.md)."
        },
        mixinStandardHelpOptions = true,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {
            "0:no difference",
            "1:there are differences, or a guest did not do its I/O",
            "2:wrong arguments",
            "69:something that this machine must have is missing"
        })
public final class TablesCommand implements Callable<Integer> {
    @Option(
            names = "--iommu",
            paramLabel = "NAME",
            description =
                    "Only this one; repeatable. vtd-legacy, vtd-second-stage, vtd-first-stage, amd, smmuv3.")
    private List<String> labels = List.of();

    @Option(
            names = "--record",
            paramLabel = "FOLDER",
            description =
                    "Write what was compared to FOLDER/NAME.tables, by which it can be done again without a guest.")
    private @Nullable Path folder;

    @Override
    public Integer call() throws UnavailableException, IOException, InterruptedException {
        List<Subject> subjects = labels.isEmpty() ? Arrays.asList(Subject.values()) : chosen();
        for (Subject subject : subjects) {
            check(subject);
        }
        int differences = 0;
        for (Subject subject : subjects) {
            Recording recording = TablesRun.record(subject, Host.current(), Progress.standard());
            TableComparison.Result result = TableComparison.of(recording);
            System.out.print(text(recording, result));
            differences += result.differences().size();
            if (folder != null) {
                OutputFile.write(file(folder, subject), OutputKind.TABLES, recording.bytes());
            }
        }
        return differences == 0 ? 0 : 1;
    }

    private List<Subject> chosen() {
        return labels.stream()
                .map(label ->
                        Subject.labelled(label)
                                .orElseThrow(() ->
                                        new UsageException(
                                                "--iommu is one of %s, not %s"
                                                        .formatted(known(), label))))
                .toList();
    }

    private static String known() {
        return Arrays.stream(Subject.values())
                .map(Subject::label)
                .collect(Collectors.joining(", "));
    }

    /** Before any guest is booted. */
    private void check(Subject subject) throws IOException {
        if (folder == null) {
            return;
        }
        if (!Files.isDirectory(folder)) {
            throw new UsageException("--record: there is no folder " + folder);
        }
        String refusal = OutputFile.refusal(file(folder, subject), OutputKind.TABLES);
        if (refusal != null) {
            throw new UsageException("--record: " + refusal);
        }
    }

    private static Path file(Path folder, Subject subject) {
        return folder.resolve(subject.label() + ".tables");
    }

    /** What a person wants to know of one guest. */
    static String text(Recording recording, TableComparison.Result result) throws IOException {
        StringBuilder text = new StringBuilder();
        text.append(
                "%s (%s): %d translations of %d devices compared (%d with their size, %d with what they allow), %d commands in the queue, %d differences%n"
                        .formatted(
                                recording.subject().label(),
                                recording.maker(),
                                result.translations(),
                                result.devices(),
                                result.sizes(),
                                result.rights(),
                                CommandQueue.of(recording).commands(recording.pages()).size(),
                                result.differences().size()));
        result.differences().stream()
                .limit(20)
                .forEach(line -> text.append("  ").append(line).append('\n'));
        return text.toString();
    }
}
