// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.machine.IommuTransport;
import org.ioasis.machine.Machine;
import org.ioasis.topology.Viot;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.Workspace;

/**
 * What a run's guest is on: where its devices' interrupts go, and how its kernel is told what is
 * behind which IOMMU. One thread.
 */
interface Platform {
    /** What is true of each endpoint there. */
    EndpointProperties endpoint();

    /** What is true of each IOMMU there, on top of {@code options}. */
    IommuOptions.Builder iommu(IommuOptions.Builder options);

    /** What its kernel has to be told, in front of the user's words. */
    List<String> parameters();

    /** The same for a configuration of what is served to it (docs/config.md), lines of TOML. */
    String served();

    /** What QEMU speaks to attach an IOMMU. */
    IommuTransport transport();

    /** What its kernel needs beside the drivers of its devices. */
    List<String> drivers();

    /**
     * Makes a command start QEMU with this.
     *
     * @return further words for it
     */
    List<String> describe(QemuCommand.Builder command, Guest guest)
            throws IOException, InterruptedException;

    /**
     * Of a guest what matters to how it is told.
     *
     * @param kernel its image
     * @param commandLine what that is told of its task
     * @param iommus as PCI functions
     * @param sockets where each IOMMU is served
     */
    record Guest(
            GuestTask task,
            Path kernel,
            String commandLine,
            List<Viot.Iommu> iommus,
            List<Path> sockets,
            List<Viot.PciRange> behind) {}

    /**
     * Gets ready what was chosen.
     *
     * @throws UnavailableException this machine lacks something; the message says what to do
     */
    static Platform of(
            RunOptions options,
            GuestKit kit,
            Workspace workspace,
            Host host,
            Cleanup cleanup,
            Progress progress)
            throws UnavailableException, IOException, InterruptedException {
        return switch (options.board()) {
            case RunOptions.Board.Pc() -> new Pc(workspace);
            case RunOptions.Board.Virt board ->
                    VirtBoard.of(board, options, kit, workspace, host, cleanup, progress);
        };
    }

    /** A PC, told by a table of ACPI. */
    record Pc(Workspace workspace) implements Platform {
        @Override
        public EndpointProperties endpoint() {
            return Machine.X86_ENDPOINT;
        }

        @Override
        public IommuOptions.Builder iommu(IommuOptions.Builder options) {
            return options;
        }

        @Override
        public List<String> parameters() {
            return List.of();
        }

        @Override
        public String served() {
            return "";
        }

        @Override
        public IommuTransport transport() {
            return IommuTransport.VFIO_USER;
        }

        @Override
        public List<String> drivers() {
            return List.of();
        }

        @Override
        public List<String> describe(QemuCommand.Builder command, Guest guest) throws IOException {
            Path viot = workspace.file("viot");
            Files.write(
                    viot,
                    Viot.table(
                            Viot.Oem.IOASIS,
                            guest.iommus(),
                            guest.behind(),
                            Viot.OwnFunction.REFUSED));
            var _ = command.acpiTables(List.of(viot));
            return List.of();
        }
    }
}
