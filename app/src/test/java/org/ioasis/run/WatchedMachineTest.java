// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.live.TraceConfig;
import org.ioasis.output.OutputFile;
import org.ioasis.output.OutputKind;
import org.ioasis.record.RecordConfig;
import org.ioasis.record.Summary;
import org.ioasis.vm.Workspace;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A guest's machine with all that watches it, started and not. */
final class WatchedMachineTest {
    @TempDir private Path folder;

    private RunOptions options(int port) {
        return RunOptions.builder(1)
                .record(RecordConfig.of(folder.resolve("r.parquet"), 64, "a test"))
                .trace(new TraceConfig(folder.resolve("requests.log"), false, 1 << 20))
                .page(OptionalInt.of(port))
                .build();
    }

    private static WatchedMachine start(RunOptions options, Workspace workspace)
            throws IOException {
        return WatchedMachine.start(options, workspace, new Platform.Pc(workspace), List.of());
    }

    /** Nobody writes them. */
    private void assertFilesAreFree() throws IOException {
        OutputFile.open(folder.resolve("r.parquet"), OutputKind.RECORDING).close();
        OutputFile.open(folder.resolve("requests.log"), OutputKind.TRACE).close();
    }

    @Test
    void nothingIsLeftOfAStartWhosePageHasNoPort() throws Exception {
        Path socket;
        try (Cleanup cleanup = Cleanup.atExit();
                Workspace workspace = Workspace.keeping(cleanup, folder.resolve("w"));
                ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            socket = GuestCommand.iommuSocket(workspace, 0);
            RunOptions options = options(taken.getLocalPort());
            assertThatThrownBy(() -> start(options, workspace))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining(Integer.toString(taken.getLocalPort()));

            assertFilesAreFree();
            assertThat(socket).doesNotExist();
        }
    }

    @Test
    @SuppressWarnings("try") // Closed before the end of its block, which is what is tested.
    void whatWatchesAMachineEndsWithIt() throws Exception {
        try (Cleanup cleanup = Cleanup.atExit();
                Workspace workspace = Workspace.keeping(cleanup, folder.resolve("w"));
                WatchedMachine machine = start(options(0), workspace)) {
            assertThat(machine.pageAddress()).startsWith("http://127.0.0.1:");
            assertThatThrownBy(this::assertFilesAreFree)
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("is being written by");
            machine.close();

            assertFilesAreFree();
            assertThat(machine.recorded()).startsWith("recorded ");
            assertThat(Summary.of(folder.resolve("r.parquet")).lost()).isZero();
            assertThat(Files.exists(GuestCommand.iommuSocket(workspace, 0))).isFalse();
        }
    }
}
